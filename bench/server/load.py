"""Whole answers, one after the other on so many connections, by Debian's `wrk`.

A client in C that costs a few microseconds a request, so that the core that it shares with the
upstream is not what is measured.
"""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

from devcluster import debian

from bench.server import request
from bench.server.process import Server, ServerError

_SCRIPT = Path(__file__).with_name("post.lua")
_LATER = 30.0  # seconds beyond its time in which wrk ends


@dataclass(frozen=True)
class Load:
    """What wrk saw, and the CPU seconds of the server meanwhile. Times are in microseconds."""

    requests: int
    seconds: float
    median: float
    p99: float
    cpu: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def cost(self) -> float:
        """CPU microseconds a request."""
        return 1e6 * self.cpu / self.requests


def ensure() -> None:
    """Have wrk: installed as root, or a sentence that says how."""
    debian.ensure_program("wrk", "wrk")


async def whole(server: Server, connections: int, seconds: int, body: Path) -> Load:
    """Send the body for so many seconds; for longer where no answer comes within them.

    Raises:
        ServerError: an answer was no 200, or none came.
    """
    before = server.cpu()
    told = await _wrk(server, connections, seconds, body)
    if told["failed"]:
        raise ServerError(f"{server.name}: {told['failed']} requests failed{server.tail()}")
    if not told["requests"]:
        if seconds > _LATER:
            raise ServerError(f"{server.name}: no answer in {seconds} s{server.tail()}")
        return await whole(server, connections, 4 * seconds, body)
    taken = told["microseconds"] / 1e6
    return Load(told["requests"], taken, told["median"], told["p99"], server.cpu() - before)


async def _wrk(server: Server, connections: int, seconds: int, body: Path) -> dict[str, int]:
    fields = {**request.HEADERS, "authorization": f"Bearer {server.command.key}"}
    headers = [f"{name}={value}" for name, value in fields.items()]
    process = await asyncio.create_subprocess_exec(
        *("wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s"),
        *("--timeout=20s", f"--script={_SCRIPT}"),
        *(f"http://127.0.0.1:{server.port}{request.PATH}", "--", str(body), *headers),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds + _LATER):
            said = (await process.communicate())[1].decode()
    finally:
        if process.returncode is None:
            process.kill()
    try:
        return json.loads(said)
    except ValueError:
        raise ServerError(f"wrk on {server.name}: {said}") from None
