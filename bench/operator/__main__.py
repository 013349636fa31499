"""How fast, how quiet and how small the operator is, beside a floor measured in the same run.

On a cluster of its own (a real API server, fake nodes), which is gone afterwards, also after an
error or Ctrl-C. First the floor, then, on a cluster made anew, the operator.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from devcluster import Cluster, failures
from dev.progress import say

from bench.operator import figures, floor, process, workload
from bench.operator.api import Api, all_of, connected
from bench.operator.figures import Figure
from bench.operator.machine import SPAN_HEAD, Machine
from bench.operator.scenarios import Scenarios
from bench.operator.view import TooLate, View, watching

_KINDS = ("Deployment", "ServiceAccount", "ConfigMap", "Service", "PodDisruptionBudget")
_HPA = "HorizontalPodAutoscaler"
_LEAST, _EACH = 120.0, 0.6  # seconds that one wait may take: at least, and for each resource


def main() -> int:
    options = _parser().parse_args()
    cluster = Cluster(options.cluster)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        uvloop.run(_run(cluster, options))
    except (TooLate, process.OperatorError, *failures.EXPECTED) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        cluster.down()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.operator", description=__doc__)
    parser.add_argument("--resources", type=int, default=1000, metavar="N")
    parser.add_argument("--quiet", type=float, default=60, metavar="SECONDS", help="600 in full")
    parser.add_argument("--foreign", action="store_true", help="2,000 nodes, 20,000 pods of others")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="what costs most, by cProfile")
    parser.add_argument("--no-floor", action="store_true", help="the operator alone: no ratios")
    parser.add_argument("--only-create", action="store_true", help="end after the first scenarios")
    parser.add_argument("--cluster", default="bench", metavar="NAME", help="default: bench")
    parser.add_argument("--flag", action="append", default=[], help="of the operator; repeatable")
    return parser


async def _run(cluster: Cluster, options: argparse.Namespace) -> None:
    number: int = options.resources
    limit = _LEAST + _EACH * number
    machine = Machine(cluster, [])
    least = None
    if not options.no_floor:
        async with _prepared(cluster, number, _HPA) as (api, view):
            least = await floor.measure(api, view, machine, number, limit)
        say(f"the floor: {least}")
    async with _prepared(cluster, number, _HPA, "LLMService") as (api, view):
        with tempfile.TemporaryDirectory() as folder:
            identity, profile = Path(folder) / "kubeconfig", Path(folder) / "profile"
            process.account(cluster, identity)
            operator = process.Operator(
                identity, Path(folder) / "log", profile if options.profile else None, options.flag
            )
            operator.spawn()
            try:
                await operator.leads()
                scenarios = Scenarios(api, view, operator, machine, least, number, limit)
                found = await _measured(scenarios, options)
            finally:
                operator.stop()
            if options.profile:
                process.costly(profile, options.profile)
        _print(found, machine, number)


async def _measured(scenarios: Scenarios, options: argparse.Namespace) -> list[Figure]:
    found = await scenarios.create_all()
    found += await scenarios.create_one()
    if options.only_create:
        return found
    found += await scenarios.stay_quiet(options.quiet)
    found += await scenarios.edit_one()
    found += await scenarios.change_all()
    found += await scenarios.delete_some()
    found += await scenarios.restart()
    if options.foreign:
        found += await scenarios.among_others()
    return found


@asynccontextmanager
async def _prepared(
    cluster: Cluster, resources: int, *more: str
) -> AsyncIterator[tuple[Api, View]]:
    """A cluster made anew, with nodes for so many resources, and a view of all that counts."""
    say(f"cluster {cluster.name}: a new one …")
    cluster.down()
    cluster.up(shape="kwok")
    cluster.kubectl("apply", "--server-side", "-f", "crds")
    cluster.kubectl("wait", "--for=condition=Established", "crd/llmservices.llmservice.io")
    cluster.kubectl("get", "llmservices")  # it asks again while the kind's storage is made
    async with connected(cluster.kubeconfig) as api:
        await api.create(workload.namespace(workload.NAMESPACE))
        await api.create(workload.wide_range())
        await all_of(api.create(node) for node in workload.nodes(resources))
        cluster.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s")
        async with watching(api, workload.NAMESPACE, [*_KINDS, *more]) as view:
            yield api, view


def _print(found: list[Figure], machine: Machine, resources: int) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    print(f"\n{resources} resources, {now}, {machine.words()}")
    print(f"controller manager and scheduler: {machine.controllers()}\n")
    print(figures.table([figures.HEAD, *map(figures.row, found)]))
    print("\nCores used in each scenario; what others used, everything here had to wait for:\n")
    print(figures.table([SPAN_HEAD, *(span.row() for span in machine.spans)]))


if __name__ == "__main__":
    sys.exit(main())
