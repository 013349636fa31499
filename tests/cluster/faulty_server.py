"""A proxy in front of the API server that fails on demand: down, or ending watches with errors."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web
from llmservice_operator.connection import from_kubeconfig


class FaultyServer:
    """Runs in a thread of its own. What it does may be changed at any time."""

    def __init__(self, kubeconfig: Path) -> None:
        self._target = from_kubeconfig(kubeconfig)
        self._kubeconfig = kubeconfig
        self._loop = asyncio.new_event_loop()
        self._streams: set[asyncio.Task[Any]] = set()
        self.down = False
        self.watch_error = 0  # the code that watches are ended with, each once it is opened
        self.port = 0

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
    def running(self) -> Iterator["FaultyServer"]:
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

            app = web.Application()
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
        if self.down:
            return web.Response(status=503, text="down")
        watch = request.query.get("watch") == "true"
        headers = {k: v for k, v in request.headers.items() if k.lower() != "host"}
        async with session.request(
            request.method,
            self._target.server + request.path_qs,
            headers=headers,
            data=await request.read(),
            timeout=aiohttp.ClientTimeout(total=None),
        ) as found:
            kept = ("Content-Type", "Retry-After", "Content-Encoding")
            passed = {name: found.headers[name] for name in kept if name in found.headers}
            if not watch:
                return web.Response(status=found.status, body=await found.read(), headers=passed)
            response = web.StreamResponse(status=found.status, headers=passed)
            await response.prepare(request)
            if self.watch_error:
                status = {"kind": "Status", "code": self.watch_error, "message": "made up"}
                await response.write(
                    json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
                )
                return response
            task = asyncio.current_task()
            assert task is not None
            self._streams.add(task)
            try:
                async for chunk in found.content.iter_any():
                    await response.write(chunk)
            finally:
                self._streams.discard(task)
            return response
