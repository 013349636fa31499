"""What the server costs: beside bare vLLM, beside no gateway, and beside other proxies.

Everything runs on loopback, as processes that are ended also after an error or Ctrl-C.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from devcluster import failures

from bench import proc
from bench.server import cached, engine, figures, gateway, held, layers, proxy
from bench.server.figures import Figure
from bench.server.process import ServerError
from bench.server.spans import HEAD, Span, span
from bench.table import table

Comparison = Callable[[int, Path], Awaitable[list[Figure]]]
_COMPARISONS: Mapping[str, Comparison] = {
    "gateway": gateway.measure,
    "proxy": proxy.measure,
    "streams": held.measure,
    "engine": engine.measure,
    "cache": cached.measure,
    "layers": layers.measure,
}
_EXPECTED = (ServerError, TimeoutError, subprocess.SubprocessError, *failures.EXPECTED)


def main() -> int:
    """Exit status 0, or 1 after a sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m bench.server", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="default: 10")
    parser.add_argument(
        "comparisons", nargs="*", metavar="COMPARISON", help=", ".join(_COMPARISONS)
    )
    options = parser.parse_args()
    if unknown := set(options.comparisons) - set(_COMPARISONS):
        parser.error(f"not a comparison: {', '.join(unknown)}; write {', '.join(_COMPARISONS)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        uvloop.run(_run(options.comparisons or list(_COMPARISONS), options.rounds))
    except KeyboardInterrupt:
        return 130
    except _EXPECTED as error:
        print(f"bench: {failures.text(error)}", file=sys.stderr)
        return 1
    return 0


async def _run(names: list[str], rounds: int) -> None:
    found: list[Figure] = []
    spans: list[Span] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name in names:
                with span(name, spans):
                    found += await _COMPARISONS[name](rounds, Path(folder))
    finally:
        _print(found, spans, rounds)  # also what came before a failure


def _print(found: list[Figure], spans: list[Span], rounds: int) -> None:
    if not found:
        return
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    print(f"\nmedians of {rounds} rounds, {now}, {proc.words()}\n")
    print(table([figures.HEAD, *map(figures.row, found)]))
    print("\nCores used meanwhile; what others used, everything here had to wait for:\n")
    print(table([HEAD, *(each.row() for each in spans)]))


if __name__ == "__main__":
    sys.exit(main())
