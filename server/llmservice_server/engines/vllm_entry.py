"""vLLM's own entry module, run in this process as its command would run it.

Promises that what vLLM says about its arguments is not lost, and that SIGTERM ends it also while
it loads. Knows no configuration and nothing of the gateway.
"""

import importlib
import re
import signal
import sys
from contextlib import redirect_stderr
from typing import IO, Any, cast

from llmservice_server.engines.failures import EngineConfigError

_ENTRY = "vllm.entrypoints.launchers.api_server.entry"


def run_vllm(argv: list[str]) -> None:
    """Serve until vLLM's server ends.

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
            entry.main()
    except SystemExit as stop:
        if not stop.code:
            raise KeyboardInterrupt from None
        raise EngineConfigError(f"engine.args: {errors.last or stop.code}") from None


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
