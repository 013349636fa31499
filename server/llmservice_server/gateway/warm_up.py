"""Ready means that a completion went through: one is sent to the engine in process after startup.

It is sent again, with a back-off, until the engine answers it with 200. It never passes through
the other layers, so it needs no key and is not in the access log.
"""

import asyncio
import logging
import time

from llmservice_server.gateway.asgi import App, Receive, Scope, Send, after_startup
from llmservice_server.gateway.context import Context, Probe
from llmservice_server.gateway.in_process import Call
from llmservice_server.loading import Phase

_log = logging.getLogger("llmservice.warm_up")
_ATTEMPT_SECONDS = 300  # the first completion may compile kernels
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0  # seconds between attempts, doubling
_SHOWN = 300  # characters of the engine's error that a log line repeats


class WarmUp:
    def __init__(self, app: App, context: Context) -> None:
        self._app = app
        self._context = context
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            send = after_startup(send, self._start)
        await self._app(scope, receive, send)

    def _start(self) -> None:
        self._running = asyncio.create_task(self._until_ready())

    async def _until_ready(self) -> None:
        self._context.startup.begins(Phase.COMPLETION)
        began, wait = time.monotonic(), _FIRST_WAIT
        probe = self._context.engine.probe()
        while probe is not None and (fault := await self._fault_of(probe)) is not None:
            _log.warning("not ready: %s; trying again in %.1f s", fault, wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
        self._context.lifecycle.ready()
        self._context.startup.begins(Phase.READY)
        proof = f"{probe.path} answered" if probe else "this model has no route to try"
        _log.info("ready: %s, %.2f s after startup", proof, time.monotonic() - began)

    async def _fault_of(self, probe: Probe) -> str | None:
        call = Call(probe.method, probe.path, probe.body or None, probe.headers)
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                answer = await self._context.below.ask(call)
        except TimeoutError:
            return f"{probe.path} did not answer in {_ATTEMPT_SECONDS} s"
        except Exception as error:  # noqa: BLE001  whatever the engine raises, it is not ready
            return f"{probe.path} raised {type(error).__name__}: {error}"[:_SHOWN]
        if answer.status == 200:
            return None
        said = answer.body.decode(errors="replace")[:_SHOWN]
        return f"{probe.path} answered {answer.status}: {said}"
