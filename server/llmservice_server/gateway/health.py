"""/livez, /readyz and /health: answered here, so that they answer whatever the engine does.

/livez asks whether a restart would help, /readyz whether to send requests here, /health is for
people. None of them is counted as in flight or refused while draining.
"""

import time
from collections.abc import Callable

from llmservice_server.gateway.asgi import App, Receive, Scope, Send, answer_error, answer_json
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.lifecycle import Phase

_NOT_READY = {
    Phase.STARTING: "a completion of the server's own has not gone through yet",
    Phase.DRAINING: "the server is draining; it still serves what comes",
    Phase.REFUSING: "the server is draining; it refuses what comes and finishes what it has",
}

Answer = tuple[int, dict[str, object]]
Check = Callable[[], Answer]


class Health:
    def __init__(self, app: App, context: Context) -> None:
        self._app = app
        self._context = context
        self._began = time.monotonic()
        self._answers: dict[str, Check] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/health": self._health,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answers.get(scope["path"]) if scope["type"] == "http" else None
        if answer is None:
            await self._app(scope, receive, send)
        elif scope["method"] not in {"GET", "HEAD"}:
            kind, message = "method_not_allowed", f"{scope['path']} answers GET only"
            await answer_error(send, 405, kind, message, [(b"allow", b"GET, HEAD")])
        else:
            await answer_json(send, *answer())

    def _livez(self) -> Answer:
        fault = self._context.engine.fault()
        return (503, {"status": "dead", "reason": fault}) if fault else (200, {"status": "alive"})

    def _readyz(self) -> Answer:
        if fault := self._context.engine.fault():
            return 503, {"status": "dead", "reason": fault}
        phase = self._context.lifecycle.phase
        if phase is Phase.READY:
            return 200, {"status": phase.value}
        return 503, {"status": phase.value, "reason": _NOT_READY[phase]}

    def _health(self) -> Answer:
        """200 while the engine lives, as vLLM's own /health, with what /readyz would say."""
        dead = self._context.engine.fault() is not None
        loads = not dead and self._context.lifecycle.phase is Phase.STARTING
        return 503 if dead else 200, {
            **self._readyz()[1],
            **(self._context.startup.now.told() if loads else {}),
            "model": self._context.config.served_name,
            "in_flight": self._context.lifecycle.in_flight,
            "uptime_seconds": round(time.monotonic() - self._began, 1),
        }
