"""A proxy in front of the API server that counts what passes and fails on demand."""

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web
from llmservice_operator.connection import from_kubeconfig

_REASONS = {403: "Forbidden", 409: "Conflict", 429: "TooManyRequests", 500: "InternalError"}
_BATCH = 0.2  # seconds of events that are doubled and put into any order
_KEPT = ("Content-Type", "Retry-After", "Content-Encoding")


@dataclass
class _Plan:
    """What happens at a write: how many are left until then, and is it carried out?"""

    left: int
    happens: Callable[[], object]
    arrives: bool


class Proxy:
    """Runs in a thread of its own, on a loopback port. What it does may be changed at any time."""

    def __init__(self, kubeconfig: Path) -> None:
        self._target = from_kubeconfig(kubeconfig)
        self._kubeconfig = kubeconfig
        self._loop = asyncio.new_event_loop()
        self._streams: set[asyncio.Task[Any]] = set()
        self._chance = random.Random(1)
        self.port = 0
        self.writes: Counter[str] = Counter()  # by "METHOD plural", but for the Lease
        self._plan: _Plan | None = None
        self._planning = threading.Lock()
        self.heal()

    def heal(self) -> None:
        """Fail no more. What was planned has happened when this returns, or never will, even if the
        write that it waited for is on its way.
        """
        self.down = False  # every connection is dropped
        self.swallows = ""  # the plural whose writes are
        self.holds = "nothing"  # the plural whose lists wait until this is another
        self.delay = 0.0  # seconds until a request is passed on
        self.errors: tuple[int, ...] = ()  # codes, of which one answers a share of the requests
        self.share = 0.1
        self.watch_error = 0  # the code that watches are ended with, each once it is opened
        self.cut_every = 0.0  # seconds until a watch is cut
        self.stalls = False  # watches that are open or get opened now never bring anything again
        self.shuffles = False  # events come twice and in any order
        with self._planning:
            self._plan = None

    def at_write(self, number: int, happens: Callable[[], object], *, arrives: bool) -> None:
        """Before the answer to the so-many-th write from now on; arrives: is it carried out?"""
        with self._planning:
            self._plan = _Plan(number, happens, arrives)

    def kubeconfig(self, folder: Path) -> Path:
        """Leads here, with the same credentials."""
        config = yaml.safe_load(self._kubeconfig.read_text())
        for cluster in config["clusters"]:
            cluster["cluster"] = {"server": f"http://127.0.0.1:{self.port}"}
        path = folder / "faulty-kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path

    def cut(self) -> None:
        """End every stream that is open."""

        def end() -> None:
            for task in self._streams:
                task.cancel()

        self._loop.call_soon_threadsafe(end)

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        started, stop = threading.Event(), asyncio.Event()

        async def serve() -> None:
            async with self._serving():
                started.set()
                await stop.wait()

        thread = threading.Thread(target=self._loop.run_until_complete, args=(serve(),))
        thread.start()
        assert started.wait(10), "the proxy did not start"
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(stop.set)
            self.cut()
            thread.join(10)

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(ssl=self._target.tls, limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

            async def passed(request: web.Request) -> web.StreamResponse:
                return await self._pass(request, session)

            app = web.Application(client_max_size=2**24)
            app.router.add_route("*", "/{path:.*}", passed)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            yield
            await runner.cleanup()

    async def _pass(
        self, request: web.Request, session: aiohttp.ClientSession
    ) -> web.StreamResponse:
        if self.delay:
            await asyncio.sleep(self.delay)
        swallowed = request.method != "GET" and _plural(request) == self.swallows
        while request.method == "GET" and request.path.endswith(f"/{self.holds}"):
            await asyncio.sleep(0.05)
        if self.down or swallowed:
            return _dropped(request)
        if self.errors and self._chance.random() < self.share:
            return _error(self._chance.choice(self.errors))
        plan = self._count(request)
        if plan and not plan.arrives:
            self._carry_out(plan)
            return _dropped(request)
        headers = {k: v for k, v in request.headers.items() if k.lower() != "host"}
        async with session.request(
            request.method,
            self._target.server + request.path_qs,
            headers=headers,
            data=await request.read() or None,  # an empty body would be given a media type
            timeout=aiohttp.ClientTimeout(total=None),
        ) as found:
            if request.query.get("watch") == "true":
                return await self._stream(request, found)
            body = await found.read()
            if plan:
                self._carry_out(plan)
            return web.Response(status=found.status, body=body, headers=_headers(found))

    def _count(self, request: web.Request) -> _Plan | None:
        """What is planned for this request."""
        plural = _plural(request)
        if request.method == "GET" or plural == "leases":
            return None
        self.writes[f"{request.method} {plural}"] += 1
        if (plan := self._plan) is None:
            return None
        plan.left -= 1
        return plan if plan.left == 0 else None

    def _carry_out(self, plan: _Plan) -> None:
        with self._planning:
            if self._plan is plan:  # not if it was healed meanwhile
                self._plan = None
                plan.happens()

    async def _stream(
        self, request: web.Request, found: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=found.status, headers=_headers(found))
        await response.prepare(request)
        if self.watch_error:
            event = {"type": "ERROR", "object": _status(self.watch_error)}
            await response.write(json.dumps(event).encode() + b"\n")
            return response
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.cut_every or None):
                    async for chunk in self._chunks(found):
                        if self.stalls:
                            await asyncio.Event().wait()
                        await response.write(chunk)
        finally:
            self._streams.discard(task)
        return response

    async def _chunks(self, found: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        if "Content-Encoding" in found.headers:
            raise AssertionError("a watch is never compressed")
        rest = b""
        async for chunk in found.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            if self.shuffles:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_BATCH):
                        async for more in found.content.iter_any():
                            *whole, rest = (rest + more).split(b"\n")
                            lines += whole
                lines *= 2
                self._chance.shuffle(lines)
            if lines:
                yield b"".join(line + b"\n" for line in lines)


def _plural(request: web.Request) -> str:
    return request.path.split("/namespaces/")[-1].split("/")[1]


def _headers(found: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: found.headers[name] for name in _KEPT if name in found.headers}


def _dropped(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response(status=503)


def _status(code: int) -> dict[str, Any]:
    return {"kind": "Status", "code": code, "reason": _REASONS.get(code), "message": "made up"}


def _error(code: int) -> web.Response:
    return web.json_response(
        _status(code), status=code, headers={"Retry-After": "1"} if code == 429 else {}
    )
