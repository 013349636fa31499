"""The proxy with the gateway around it, on a real socket, before the upstreams that a test has."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI
from llmservice_server import api
from llmservice_server.config import EngineConfig, HttpConfig, ServerConfig, TracingConfig
from llmservice_server.engines.connections import guarded
from llmservice_server.engines.proxy.application import Application
from llmservice_server.engines.proxy.server import ProxyEngine
from llmservice_server.engines.proxy.upstream import Upstream
from llmservice_server.engines.proxy.upstreams import Upstreams
from llmservice_server.gateway import Gateway
from llmservice_server.gateway.context import Context
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.unit.server.proxy.upstream_double import KEY
from tests.unit.server.small_engine import Server

CHAT = "/v1/chat/completions"
KEYED = {"apiKey": {"variable": "THE_KEY"}}


def nobody() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def error_of(answered: httpx2.Response) -> dict[str, Any]:
    """In OpenAI's shape, which is checked."""
    body = answered.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


def to(url: str, *models: str, **more: Any) -> dict[str, Any]:
    """An upstream's part of the file; models as m, or as alias=m."""
    pairs = [model.partition("=") for model in models or ("m",)]
    named = [{"name": n, **({"upstreamName": other} if other else {})} for n, _, other in pairs]
    return {"url": url, "models": named, **more}


def chat(model: str = "m", *, stream: bool = False) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": stream}


@asynccontextmanager
async def proxied(
    *upstreams: dict[str, Any],
    ready: bool = True,
    http: HttpConfig | None = None,
    tracing: TracingConfig | None = None,
    auth: dict[str, Any] | None = None,
    routes: Callable[[FastAPI], None] | None = None,
    **timeouts: float,
) -> AsyncIterator[httpx2.AsyncClient]:
    """auth: as in a file. routes: adds some to the application's."""
    engine = {"type": "proxy", "upstreams": list(upstreams), "timeouts": timeouts}
    file = {"engine": engine, "auth": auth or {}}
    parts = {"http": http or HttpConfig(), "tracing": tracing or TracingConfig()}
    config = ServerConfig.model_validate(file).model_copy(update=parts)
    assert isinstance(config.engine, EngineConfig)
    made = Upstreams([Upstream(u, KEY if u.api_key else None) for u in config.engine.upstreams])
    context = Context(config, ProxyEngine(made))
    application = Application(config.engine, made)
    api.attach(application.fastapi, context)
    if routes:
        routes(application.fastapi)
    server = Server(
        uvicorn.Config(
            Gateway(application, context),
            host="127.0.0.1",
            port=0,
            lifespan="on",
            log_config=None,
            access_log=False,
            http=guarded(HttpToolsProtocol, config.http),
            ws="none",
        )
    )
    interrupt = signal.getsignal(signal.SIGINT)
    running = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(10):
            while not server.started or (ready and context.lifecycle.phase.value != "ready"):
                await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        url, kind = f"http://127.0.0.1:{port}", {"content-type": "application/json"}
        async with httpx2.AsyncClient(base_url=url, headers=kind, timeout=10) as client:
            yield client
        assert context.lifecycle.in_flight == 0 or await context.lifecycle.idle(2)
    finally:
        server.should_exit = True
        await asyncio.wait_for(running, 10)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGINT, interrupt)
