"""/livez, /readyz, /health and /status: answered here, whatever the engine does.

/livez asks whether a restart would help, /readyz whether to send requests here, /health is for
people and their tools, /status tells how far the server is and for how long. None of them is
counted as in flight or refused while draining.
"""

import time
from collections.abc import Callable

from llmservice_server import loading
from llmservice_server.gateway.asgi import App, Receive, Scope, Send, answer_error, answer_json
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.lifecycle import Phase

_NOT_READY = {
    Phase.STARTING: "a completion of the server's own has not gone through yet",
    Phase.DRAINING: "the server is draining; it still serves what comes",
    Phase.REFUSING: "the server is draining; it refuses what comes and finishes what it has",
}
_API = {Phase.DRAINING: "draining", Phase.REFUSING: "refusing"}

Told = dict[str, object]
Answer = tuple[int, Told]
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
            "/status": self._status,
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
        phase, dead = self._context.lifecycle.phase, self._dead()
        loads = not dead and phase is Phase.STARTING
        gpu = self._context.engine.gpu()
        return 503 if dead else 200, {
            **self._readyz()[1],
            **(self._context.startup.now.told() if loads else {}),
            "api_status": _API.get(phase, "serving"),
            "model_status": "failed" if dead else "warming-up" if loads else "loaded",
            "gpu_status": _gpu_status(used=gpu, failed=dead),
            "model": self._context.config.served_name,
            "in_flight": self._context.lifecycle.in_flight,
            "timestamp": loading.date(time.time()),
            "uptime_seconds": self._uptime(),
        }

    def _status(self) -> Answer:
        """200 whatever there is to tell: it is the answer to the question."""
        lifecycle = self._context.lifecycle
        told = {**self._readyz()[1], **self._context.startup.told()}
        if self._dead() or lifecycle.stopping:
            told |= {"phase": told["status"], "since": loading.date(lifecycle.since)}
            told["seconds"] = round(max(time.time() - lifecycle.since, 0.0), 1)
        return 200, {
            **told,
            "model": self._context.config.served_name,
            "in_flight": lifecycle.in_flight,
            "uptime_seconds": self._uptime(),
        }

    def _dead(self) -> bool:
        return self._context.engine.fault() is not None

    def _uptime(self) -> float:
        return round(time.monotonic() - self._began, 1)


def _gpu_status(*, used: bool | None, failed: bool) -> str:
    if used is None:
        return "unknown"
    if not used:
        return "none"
    return "failed" if failed else "in-use"
