"""vLLM's own entry module, run in this process as its command would run it.

Promises that what vLLM says about its arguments is not lost, that SIGTERM ends it also while it
loads, and that it serves on the socket on which its port was answered before. Knows no
configuration and nothing of the gateway.
"""

import importlib
import logging
import re
import signal
import socket
import sys
from contextlib import redirect_stderr
from typing import IO, Any, cast

from llmservice_server.engines.failures import EngineConfigError
from llmservice_server.loading import Listener

_ENTRY = "vllm.entrypoints.launchers.api_server.entry"
SOCKET = ("vllm.entrypoints.launchers.launcher", "create_server_socket")
"""What vLLM makes its socket with, early; it listens on it when its engine is up."""

_log = logging.getLogger("llmservice.loading")


def run_vllm(argv: list[str], listener: Listener) -> None:
    """Serve until vLLM's server ends, on the listener's socket where vLLM takes one.

    Raises:
        EngineConfigError: vLLM does not take these arguments.
        KeyboardInterrupt: it was told to stop before it served.
        Exception: whatever else made vLLM fail.
    """
    sys.argv = ["vllm", *argv]
    errors = _ErrorLine(sys.stderr)
    try:
        with redirect_stderr(cast("IO[str]", errors)):
            entry: Any = importlib.import_module(_ENTRY)
            entry.signal = _SigtermExits()
            _lend(listener)
            entry.main()
    except SystemExit as stop:
        if not stop.code:
            raise KeyboardInterrupt from None
        raise EngineConfigError(f"engine.args: {errors.last or stop.code}") from None


def _lend(listener: Listener) -> None:
    module, maker = SOCKET
    try:
        launcher: Any = importlib.import_module(module)
        getattr(launcher, maker)
    except (ImportError, AttributeError) as error:
        _log.warning("nobody answers while vLLM loads: %s", error)
        listener.close()  # vLLM opens the port itself
        return

    def lent(*_: object, **__: object) -> socket.socket:
        return listener.socket

    setattr(launcher, maker, lent)


class _SigtermExits:
    """The ``signal`` module for vLLM's entry module: SIGTERM while it loads raises SystemExit.

    vLLM's own handler raises KeyboardInterrupt, which vLLM 0.32 swallows while it waits for its
    engine (``zmq_socket_ctx``), so that a loading server would live on until it is killed.
    """

    def signal(self, number: int, _handler: object) -> None:
        signal.signal(number, _exit)

    def __getattr__(self, name: str) -> object:
        return getattr(signal, name)


def _exit(*_: object) -> None:
    sys.exit(0)


class _ErrorLine:
    """Standard error, passed through, with argparse's last error line kept."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.last: str | None = None

    def write(self, text: str) -> int:
        if found := re.search(r": error: (.+)", text):
            self.last = found[1]
        return self._stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
