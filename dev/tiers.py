"""The tiers of the test command, in the order given: lint, unit, cluster, e2e.

All of them run, whatever fails before; the exit status is 1 where one did. What a tier needs to
have built is built before it and not inside of it, where tests have time limits. For e2e this
(images, the node's programs) is begun beside the tiers before it, at low priority: on two cores the
tests in front come first.
"""

import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from devcluster import failures, tools

from dev import lint

_PREPARE = (
    "from devcluster import failures; from dev import images, stack\n"
    "with failures.told('images'): stack.prepare(); images.clients()"
)
_PREPARE_SECONDS = 7200
_END_SECONDS = 60
# Tests wait more than they compute, so that more of them run at once than there are cores. What
# shares a cluster stays together: the tests of a file, and in e2e what its conftest says. Files of
# few and long tests, such as faults/, come first, as they stand in the folder: the last ones to end
# would have the machine to themselves.
_SIDE_BY_SIDE = {
    "unit": ("--numprocesses=4",),
    "cluster": ("--numprocesses=4", "--dist=loadfile", "--no-loadscope-reorder"),
    "e2e": ("--numprocesses=2", "--dist=loadscope", "--verbose"),
}
_COSTLY = "--durations=15"  # what to look at first where a tier takes too long


@dataclass(frozen=True)
class Outcome:
    name: str
    passed: bool
    seconds: float


def _tier(name: str) -> bool:
    if name == "lint":
        return lint.run()
    command = [sys.executable, "-m", "pytest", f"tests/{name}", *_SIDE_BY_SIDE[name], _COSTLY]
    return subprocess.run(command, check=False).returncode == 0


def _control_plane() -> bool:
    tools.ensure("helm", *tools.CONTROL_PLANE)
    return True


def _outcome(name: str, work: Callable[[], bool]) -> Outcome:
    print(f"\n=== {name} ===", flush=True)
    begun = time.monotonic()
    try:
        passed = work()
    except failures.EXPECTED as error:
        print(f"{name}: {failures.text(error)}", flush=True)
        passed = False
    except Exception:  # noqa: BLE001  a fault in one tier hides none of the others
        traceback.print_exc()
        passed = False
    return Outcome(name, passed, time.monotonic() - begun)


def _all(tiers: list[str], preparing: subprocess.Popen[bytes] | None) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for tier in tiers:
        if tier == "cluster":
            outcomes.append(_outcome("control plane", _control_plane))
        elif preparing and tier == "e2e":
            outcomes.append(_outcome("images", lambda: preparing.wait(_PREPARE_SECONDS) == 0))
        outcomes.append(_outcome(tier, partial(_tier, tier)))
    return outcomes


def main(tiers: list[str]) -> int:
    command = ["nice", "-n", "15", sys.executable, "-c", _PREPARE]
    preparing = subprocess.Popen(command) if "e2e" in tiers else None
    try:
        outcomes = _all(tiers, preparing)
    finally:
        if preparing:
            try:  # an interrupt reaches it too, and it then ends what it has started
                preparing.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                preparing.kill()
    print()
    for outcome in outcomes:
        verdict = "passed" if outcome.passed else "FAILED"
        print(f"{outcome.name:13} {verdict} in {outcome.seconds:.0f} s")
    return int(not all(outcome.passed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
