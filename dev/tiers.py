"""The tiers of the test command, in the order given: lint, unit, cluster, e2e.

All of them run, whatever fails before; the exit status is 1 where one did. What the e2e tier needs
to have built (images, the node's programs) is built beside the tiers before it, at low priority:
on two cores the tests in front come first.
"""

import subprocess
import sys
import time
from dataclasses import dataclass

from dev import lint

_PREPARE = "from dev import stack; stack.prepare()"


@dataclass(frozen=True)
class Outcome:
    tier: str
    passed: bool
    seconds: float


def _pytest(tier: str) -> bool:
    return (
        subprocess.run([sys.executable, "-m", "pytest", f"tests/{tier}"], check=False).returncode
        == 0
    )


def _run(tier: str) -> Outcome:
    print(f"\n=== {tier} ===", flush=True)
    begun = time.monotonic()
    passed = lint.run() if tier == "lint" else _pytest(tier)
    return Outcome(tier, passed, time.monotonic() - begun)


def main(tiers: list[str]) -> int:
    preparing = None
    if "e2e" in tiers:
        preparing = subprocess.Popen(["nice", "-n", "15", sys.executable, "-c", _PREPARE])
    outcomes: list[Outcome] = []
    for tier in tiers:
        if tier == "e2e" and preparing:
            begun = time.monotonic()
            passed = preparing.wait() == 0
            outcomes.append(Outcome("images", passed, time.monotonic() - begun))
        outcomes.append(_run(tier))
    print()
    for outcome in outcomes:
        verdict = "passed" if outcome.passed else "FAILED"
        print(f"{outcome.tier:8} {verdict} in {outcome.seconds:.0f} s")
    return int(not all(outcome.passed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
