"""Stands in for vllm.entrypoints.launchers.api_server.entry: an engine in a process of its own,
and then a server with the middleware that was named.
"""

import argparse
import asyncio
import importlib
import multiprocessing
import signal
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

import uvicorn
import uvloop
from vllm import gates
from vllm.entrypoints.launchers import launcher
from vllm.plugins import load_endpoint_plugins, load_general_plugins

from tests.unit.server.small_engine import SmallEngine


def _engine(source: str, up: Connection) -> None:
    load_general_plugins()
    gates.wait("load")
    loaders = importlib.import_module("vllm.model_executor.model_loader.default_loader")
    config = SimpleNamespace(compilation_config=SimpleNamespace(mode=3))
    loaders.DefaultModelLoader().load_model(vllm_config=config, model_config=source)
    gates.wait("compiled")
    workers = importlib.import_module("vllm.v1.worker.worker_base")
    (getattr(workers, "WorkerWrapperBase", None) or workers.Renamed)().initialize_from_config([])
    gates.wait("warm")
    up.send("up")
    up.recv()  # until the server ends


class _Client:
    errored = False

    def get_num_unfinished_requests(self) -> int:
        return 0

    async def get_supported_tasks(self) -> tuple[str, ...]:
        return ("generate",)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Any:
        yield


async def run_server(args: argparse.Namespace) -> None:
    signal.signal(signal.SIGTERM, lambda *_: None)
    _, sock = launcher.setup_server(args, reuse_port=False)
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    engine = spawn.Process(target=_engine, args=(args.model, theirs), daemon=True)
    engine.start()
    ours.recv()
    for plugin in load_endpoint_plugins():
        await plugin.init_state(_Client(), None, args)
    module, _, name = args.middleware.rpartition(".")
    app = getattr(importlib.import_module(module), name)(SmallEngine())
    server = _Server(uvicorn.Config(app, lifespan="on", log_config=None, access_log=False))

    def stop() -> None:
        server.should_exit = True

    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop)
    await server.serve(sockets=[sock])
    ours.send("end")
    engine.join()


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag in ("--host", "--model", "--middleware"):
        parser.add_argument(flag)
    parser.add_argument("--port", type=int)
    args, _ = parser.parse_known_args()
    uvloop.run(run_server(args))
