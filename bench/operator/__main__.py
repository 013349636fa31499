"""How fast, how quiet and how small the operator is, beside a floor measured in the same run.

On a cluster of its own (a real API server, fake nodes), which is gone afterwards, also after an
error or Ctrl-C. First the floor, then, on a cluster made anew, the operator.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import uvloop
from devcluster import Cluster, failures

from bench import proc
from bench.operator import changes, creation, figures, floor, process, standing, workload
from bench.operator.api import Api, RefusedError, all_of, connected
from bench.operator.figures import Figure
from bench.operator.machine import SPAN_HEAD, Machine
from bench.operator.subject import Subject
from bench.operator.view import TooLateError, View, watching
from bench.table import table
from dev import account
from dev.progress import say

_KINDS = ("Deployment", "ServiceAccount", "ConfigMap", "Service", "PodDisruptionBudget")
_KIND_KNOWN = 90.0  # seconds, until the garbage collector does
_HPA = "HorizontalPodAutoscaler"
_EXPECTED = (TooLateError, TimeoutError, RefusedError, process.OperatorError, *failures.EXPECTED)


def main() -> int:
    """Exit status 0, or 1 after a sentence on standard error."""
    options = _parser().parse_args()
    cluster = Cluster(options.cluster)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        uvloop.run(_run(cluster, options))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        first: BaseException = error
        while isinstance(first, BaseExceptionGroup):  # what fails beside the watches
            first = cast("tuple[BaseException, ...]", first.exceptions)[0]
        if not isinstance(first, _EXPECTED):
            raise
        print(f"bench: {failures.text(first)}", file=sys.stderr)
        return 1
    finally:
        cluster.down()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.operator", description=__doc__)
    parser.add_argument("--resources", type=_several, default=1000, metavar="N", help="10 or more")
    parser.add_argument("--quiet", type=float, default=60, metavar="SECONDS", help="600 in full")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="what costs most, by cProfile")
    parser.add_argument("--no-floor", action="store_true", help="the operator alone: no ratios")
    parser.add_argument("--only-create", action="store_true", help="end after the first scenarios")
    parser.add_argument("--cluster", default="bench", metavar="NAME", help="default: bench")
    parser.add_argument("--flag", action="append", default=[], help="of the operator; repeatable")
    return parser


def _several(text: str) -> int:
    if int(text) < 10:
        raise argparse.ArgumentTypeError(f"write a number of 10 or more, not {text}")
    return int(text)


async def _run(cluster: Cluster, options: argparse.Namespace) -> None:
    number: int = options.resources
    machine = Machine(cluster, [])
    least = None
    if not options.no_floor:
        async with _prepared(cluster, number, _HPA) as (api, view):
            bare = floor.Bare(api, view, machine, number)
            least = await bare.measure(changes=not options.only_create)
        say(f"the floor: {least}")
    async with _prepared(cluster, number, _HPA, "LLMService") as (api, view):
        with tempfile.TemporaryDirectory() as folder:
            identity, profile = Path(folder) / "kubeconfig", Path(folder) / "profile"
            account.install(cluster, process.SYSTEM, identity)
            operator = process.Operator(
                identity, Path(folder) / "log", profile if options.profile else None, options.flag
            )
            found: list[Figure] = []
            operator.spawn()
            try:
                await operator.leads()
                subject = Subject(api, view, operator, machine, least, number)
                async with asyncio.TaskGroup() as tasks:
                    lives = tasks.create_task(operator.lives())
                    async for figures_of_one in _scenarios(subject, options):
                        found += figures_of_one
                    lives.cancel()
            finally:
                operator.stop()
                _print(found, machine, number)  # also what came before a failure
            if options.profile:
                process.costly(profile, options.profile)


async def _scenarios(on: Subject, options: argparse.Namespace) -> AsyncGenerator[list[Figure]]:
    """One after the other; the resources of the first stay for the others."""
    yield await creation.create_all(on)
    yield await creation.create_one(on)
    if not options.only_create:
        yield await standing.stay_quiet(on, options.quiet)
        yield await changes.edit_one(on)
        yield await changes.change_all(on)
        yield await changes.delete_some(on)
        yield await standing.restart(on)
        yield await standing.among_others(on)


@asynccontextmanager
async def _prepared(
    cluster: Cluster, resources: int, *more: str
) -> AsyncGenerator[tuple[Api, View]]:
    """A cluster made anew, with nodes for so many resources, and a view of all that counts."""
    say(f"cluster {cluster.name}: a new one …")
    cluster.down()
    cluster.up(shape="kwok")
    cluster.kubectl("apply", "--server-side", "-f", "crds")
    async with connected(cluster.kubeconfig) as api:
        await api.create(workload.namespace(workload.NAMESPACE))
        await api.create(workload.wide_range())
        await all_of("nodes", map(api.create, workload.nodes(resources)))
        cluster.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s")
        await _until_collected(api)
        async with watching(api, workload.NAMESPACE, [*_KINDS, *more]) as view:
            yield api, view


async def _until_collected(api: Api) -> None:
    """Until the garbage collector watches LLMServices, as it does where the kind is no minute old.

    Until then it asks the API server again and again for the owner of each child. It looks for new
    kinds every half minute; that it has found this one shows where it ends a deletion.
    """
    await api.create(workload.resource(0))
    await api.delete("LLMService", workload.NAMESPACE, workload.name(0), "Foreground")
    async with asyncio.timeout(_KIND_KNOWN):
        while (await api.listed("LLMService", workload.NAMESPACE))["items"]:  # noqa: ASYNC110
            await asyncio.sleep(0.5)


def _print(found: list[Figure], machine: Machine, resources: int) -> None:
    if not found:
        return
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    print(f"\n{resources} resources, {now}, {proc.words()}")
    print(f"controller manager and scheduler: {machine.controllers()}\n")
    print(table([figures.HEAD, *map(figures.row, found)]))
    print("\nCores used in each scenario; what others used, everything here had to wait for:\n")
    print(table([SPAN_HEAD, *(span.row() for span in machine.spans)]))


if __name__ == "__main__":
    sys.exit(main())
