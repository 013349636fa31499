"""The proxy's process: its application with the gateway around it, on uvicorn."""

import asyncio
import gc
import importlib
import logging
import signal
import socket
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llmservice_server import api, logs, secret
from llmservice_server.config import ServerConfig
from llmservice_server.engines.connections import guarded
from llmservice_server.engines.failures import EngineError
from llmservice_server.engines.proxy.application import Application
from llmservice_server.engines.proxy.upstream import Upstream
from llmservice_server.engines.proxy.upstreams import Upstreams
from llmservice_server.gateway import Gateway
from llmservice_server.gateway.context import Context, Probe

# As for vLLM: longer than the pools of clients and proxies keep a connection.
_KEEP_ALIVE_SECONDS = 75

# After the drain, for clients to take the last bytes of what was finished.
_LEAVE_SECONDS = 2

_log = logging.getLogger("llmservice.proxy")


class ProxyEngine:
    """The proxy as the gateway sees it."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    def fault(self) -> str | None:
        """None: what can be mended by a restart is not what fails here."""
        return None

    def gpu(self) -> bool:
        return False

    def probe(self) -> Probe:
        """Answered with 200 once an upstream was reached; costs no token."""
        return Probe("/v1/models", method="GET")

    def routed(self, named: str) -> str | None:
        return named if self._upstreams.serve(named) else None


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield  # the loop's handlers below, until the drain takes them over


def serve(config: ServerConfig) -> None:
    """Serve until drained, or until told to stop before anything was served.

    Raises:
        EngineError: it did not start, or ended without being told to.
    """
    upstreams = Upstreams(
        [
            Upstream(u, u.api_key and secret.read_line(u.api_key, "engine.upstreams"))
            for u in config.engine.upstreams
        ]
    )
    with tempfile.TemporaryDirectory(prefix="llmservice-") as folder:
        logs.configure(config.log_level, Path(folder))
        with _listening(config.port) as listening:
            context = Context.of(config, ProxyEngine(upstreams))
            application = Application(config.engine, upstreams, docs=config.api.docs)
            api.attach(application.fastapi, context)
            app = Gateway(application, context)
            # A full collection would look through all that was loaded, some 30 ms for every stream.
            gc.freeze()
            gc.enable()
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                started = runner.run(_run(app, config, listening))
            if not started:
                raise EngineError("the proxy did not start; its log says why")


async def _run(app: Gateway, config: ServerConfig, listening: socket.socket) -> bool:
    server = _Server(
        uvicorn.Config(
            app,
            http=guarded(HttpToolsProtocol, config.http),
            ws="none",  # there is no such route, and a handshake's refusal has no shape
            lifespan="on",
            log_config=None,
            log_level=config.log_level,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_LEAVE_SECONDS,
        )
    )

    def stop() -> None:
        server.should_exit = True
        connections: list[Any] = list(server.server_state.connections)
        for connection in connections:
            connection.give_up()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await server.serve(sockets=[listening])
    return server.started


def _listening(port: int) -> socket.socket:
    six = socket.has_dualstack_ipv6()
    family, host = (socket.AF_INET6, "::") if six else (socket.AF_INET, "")
    try:
        return socket.create_server((host, port), family=family, dualstack_ipv6=six)
    except OSError as error:
        raise EngineError(f"port {port} cannot be listened on: {error.strerror}") from None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        return importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return None
