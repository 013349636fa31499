"""Answers on the server's port until the server does: alive, not ready, and how far it is.

There is one listening socket from the first moment to the last, and whoever serves takes it over.
Promises: no connection is refused or dropped between the two, since those that come meanwhile wait
in the socket; each that was accepted before is answered, whole, and closed; none is kept longer
than a few seconds. A process that stands still, so that not even this answers, says on standard
error where. Runs in a thread of its own; knows neither the engine nor the gateway.
"""

import asyncio
import faulthandler
import json
import logging
import socket
import threading
import time
from contextlib import suppress

from llmservice_server.error_shapes import PREDICTIONS, openai_error, prediction_error
from llmservice_server.loading.progress import date
from llmservice_server.loading.startup import Startup

_BACKLOG = 128  # connections that may wait; the server that takes over sets its own
_PATIENCE = 5.0  # seconds for a client to send its request, and to read the answer
_RETRY_AFTER = 5  # seconds, where a whole start takes a minute or more
_STILL = 30.0  # seconds in which no thread of Python's came to its turn
_REASONS = {200: "OK", 503: "Service Unavailable"}
_LOADS = {"api_status": "loading", "model_status": "loading", "gpu_status": "unknown"}
_LOADING = "The model is still loading; send the request again later."

_log = logging.getLogger("llmservice.loading")
Told = dict[str, object]


class Listener:
    """Listens from the moment in which it is made."""

    def __init__(self, host: str, port: int, startup: Startup) -> None:
        self._startup = startup
        self._began = time.monotonic()
        six = ":" in host
        family = socket.AF_INET6 if six else socket.AF_INET
        self.socket = socket.create_server(
            (host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=six
        )
        self._loop = asyncio.SelectorEventLoop()
        self._ended, self._handed_over = asyncio.Event(), False
        # Of a duplicate, so that closing what accepts leaves the socket open.
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._converse, sock=self.socket.dup(), backlog=_BACKLOG)
        )
        self._thread = threading.Thread(target=self._run, name="loading", daemon=True)
        self._thread.start()

    def hand_over(self) -> None:
        """Accept nothing any more: what comes now waits in the socket for its next owner."""
        if self._handed_over:
            return
        self._handed_over = True
        try:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_PATIENCE)
        except TimeoutError:
            _log.warning("some connections may still be told that the model is loading")

    def close(self) -> None:
        """Give the port up."""
        self.hand_over()
        self.socket.close()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._until_all_are_answered())
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._loop.close()

    async def _end(self) -> None:
        # asyncio drops what it has accepted and not yet begun to serve when a server is closed.
        for accepting in self._server.sockets:
            self._loop.remove_reader(accepting.fileno())
        await asyncio.sleep(0)
        self._server.close()
        self._ended.set()

    async def _until_all_are_answered(self) -> None:
        while not self._ended.is_set():
            faulthandler.dump_traceback_later(_STILL, file=2)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _PATIENCE)
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                writer.write_eof()
                # To close while a client sends would take the answer away from it.
                while await reader.read(1 << 16):
                    pass
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass
        finally:
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        status, body = self._check(path) if method in {b"GET", b"HEAD"} else (503, _error(path))
        content = json.dumps(body, separators=(",", ":")).encode()
        lines = [
            f"HTTP/1.1 {status} {_REASONS[status]}",
            "content-type: application/json",
            f"content-length: {len(content)}",
            "connection: close",
            *([f"retry-after: {_RETRY_AFTER}"] if status == 503 else ()),
        ]
        start = "\r\n".join([*lines, "", ""]).encode()
        return start if method == b"HEAD" else start + content

    def _check(self, path: bytes) -> tuple[int, Told]:
        uptime = round(time.monotonic() - self._began, 1)
        if path == b"/livez":
            return 200, {"status": "alive"}
        if path == b"/status":
            return 200, {"status": "loading", **self._startup.told(), "uptime_seconds": uptime}
        if path not in {b"/readyz", b"/health"}:
            return 503, _error(path)
        loading = {"status": "loading", **self._startup.now.told()}
        if path == b"/readyz":
            return 503, loading
        now = {"timestamp": date(time.time()), "uptime_seconds": uptime}
        return 503, {**loading, **_LOADS, **now}


def _error(path: bytes) -> Told:
    """In the shape of the route."""
    kind = "service_unavailable"
    if path.decode("latin-1") in PREDICTIONS:
        return prediction_error(kind, _LOADING, date(time.time()))
    return openai_error(kind, _LOADING)
