"""A small engine for the gateway's tests: words at a set pace, over the gateway, on real sockets.

Run as a program it is a process that ends as vLLM's server does: SIGTERM and SIGINT abort what is
being generated at once, unless somebody has replaced the handler.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import uvicorn
import uvloop
from llmservice_server.config import DrainConfig, HttpConfig, ModelConfig, ServerConfig
from llmservice_server.engines.connections import guarded
from llmservice_server.gateway import Gateway
from llmservice_server.gateway.asgi import App, Receive, Scope, Send, answer_error, answer_json
from llmservice_server.gateway.context import Context, Probe
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MODEL = ModelConfig(uri="file:///m", source="/m", served_name="small")


class SmallEngine:
    """An ASGI application and the engine that the gateway asks about, in one."""

    def __init__(self, *, failing_first: int = 0, seconds_a_word: float = 0.001) -> None:
        self.failing = failing_first
        self.pace = seconds_a_word
        self.died: str | None = None
        self.keeps_account = False
        self.seen_ids: list[str] = []
        self.seen_traces: list[str] = []
        self.left_early = 0
        self.aborted = asyncio.Event()

    def fault(self) -> str | None:
        return self.died

    def gpu(self) -> bool:
        return False

    def routed(self, named: str) -> str | None:
        return (named or "small") if named in {"", "small", "french"} else None

    def probe(self) -> Probe:
        return Probe("/v1/completions", {"model": "small", "prompt": "Hello", "max_tokens": 1})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
        elif scope["path"] == "/v1/completions":
            await self._complete(scope, receive, send)
        elif scope["path"] == "/up":
            await answer_json(send, 200, {"up": 1})
        elif scope["path"] == "/metrics":
            await _answer_metrics(send)
        elif scope["path"] == "/crash":
            raise RuntimeError("a fault in the engine's own code")
        else:
            await answer_error(send, 404, "not_found", "no such route")

    async def _complete(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        ids = [value.decode() for name, value in scope["headers"] if name == b"x-request-id"]
        self.seen_ids += ids
        self.seen_traces += [v.decode() for name, v in scope["headers"] if name == b"traceparent"]
        if self.failing:
            self.failing -= 1
            await answer_error(send, 500, "server_error", "still loading")
            return
        request = json.loads(body)
        words = [f"w{number}" for number in range(request["max_tokens"])]
        usage = {"prompt_tokens": 3, "completion_tokens": len(words)}
        if self.keeps_account:  # as vLLM does, of every request
            account = SimpleNamespace(final_usage_info=SimpleNamespace(**usage))
            scope.setdefault("state", {})["request_metadata"] = account
        if request.get("stream"):
            told = usage if request.get("stream_options", {}).get("include_usage") else None
            await self._stream(words, told, receive, send)
        elif await self._generated(words, receive):
            await answer_json(send, 200, {"choices": [{"text": " ".join(words)}], "usage": usage})

    async def _generated(self, words: list[str], receive: Receive) -> bool:
        """Whether the client stayed until all words were there."""
        gone = asyncio.create_task(receive())
        await asyncio.wait({gone}, timeout=self.pace * len(words))
        if gone.done():
            self.left_early += 1
            return False
        gone.cancel()
        return True

    async def _stream(
        self, words: list[str], usage: dict[str, int] | None, receive: Receive, send: Send
    ) -> None:
        kind = (b"content-type", b"text/event-stream; charset=utf-8")
        await send({"type": "http.response.start", "status": 200, "headers": [kind]})
        gone = asyncio.create_task(receive())
        for word in words:
            await asyncio.sleep(self.pace)
            if gone.done() or self.aborted.is_set():
                self.left_early += 1
                break
            chunk = f"data: {word}\n\n".encode()
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        else:
            event = f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n" if usage else ""
            chunk = f"{event}data: [DONE]\n\n".encode()
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        gone.cancel()
        await send({"type": "http.response.body", "body": b""})


async def _answer_metrics(send: Send) -> None:
    """As vLLM does it: the registry of the process."""
    kind = (b"content-type", CONTENT_TYPE_LATEST.encode())
    await send({"type": "http.response.start", "status": 200, "headers": [kind]})
    await send({"type": "http.response.body", "body": generate_latest()})


class Server(uvicorn.Server):
    """uvicorn's, which ends soon after it is told to: by itself it looks ten times a second."""

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            await asyncio.sleep(0.01)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # as vLLM's server: whoever runs it sets the handlers


def _server(app: App, http: HttpConfig | None = None) -> Server:
    """With bounds on its connections where there are any."""
    protocol: Any = guarded(HttpToolsProtocol, http) if http else HttpToolsProtocol
    return Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            lifespan="on",
            log_config=None,
            access_log=False,
            http=protocol,
        )
    )


def _port(server: uvicorn.Server) -> int:
    return server.servers[0].sockets[0].getsockname()[1]


@dataclass(frozen=True)
class Served:
    url: str
    port: int
    engine: SmallEngine
    context: Context


@asynccontextmanager
async def listening(app: App, http: HttpConfig | None = None) -> AsyncIterator[int]:
    """The application on a free port of the loopback, in this process."""
    server = _server(app, http)
    interrupt = signal.getsignal(signal.SIGINT)
    running = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(60):  # a busy machine takes its time
            while not server.started:
                await asyncio.sleep(0.01)
        yield _port(server)
    finally:
        server.should_exit = True
        await asyncio.wait_for(running, 10)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGINT, interrupt)


@asynccontextmanager
async def served(engine: SmallEngine, *, bare: bool = False, **parts: Any) -> AsyncIterator[Served]:
    """The engine behind the gateway, on a free port of the loopback, in this process.

    parts: of the configuration. bare: the engine alone, on uvicorn as it comes.
    """
    context = Context(ServerConfig(model=MODEL, **parts), engine)
    app, http = (engine, None) if bare else (Gateway(engine, context), context.config.http)
    async with listening(app, http) as port:
        yield Served(f"http://127.0.0.1:{port}", port, engine, context)


async def until(true: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


async def _run(*, bare: bool, drain: DrainConfig) -> bool:
    """Whether it ended because it was told to, as far as the gateway knows."""
    engine = SmallEngine(seconds_a_word=0.01)
    context = Context(ServerConfig(model=MODEL, drain=drain), engine)
    server = _server(engine if bare else Gateway(engine, context), context.config.http)

    def stop() -> None:
        engine.aborted.set()
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(_port(server), flush=True)  # noqa: T201  the test reads the port
    await running
    return context.lifecycle.stopping


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bare", action="store_true", help="without the gateway")
    parser.add_argument("--grace", type=int, default=1)
    parser.add_argument("--timeout", type=int, default=30)
    chosen = parser.parse_args()
    times = DrainConfig(grace_seconds=chosen.grace, timeout_seconds=chosen.timeout)
    told = uvloop.run(_run(bare=chosen.bare, drain=times))  # the event loop that vLLM runs on
    sys.exit(0 if told else 1)
