"""Ready means that a completion went through: one is sent to the engine in process after startup.

It is sent again, with a back-off, until the engine answers it with 200. It never passes through
the other layers, so it needs no key and is not in the access log.
"""

import asyncio
import json
import logging
import time

from llmservice_server.gateway.asgi import App, Message, Receive, Scope, Send, after_startup
from llmservice_server.gateway.context import Context, Probe
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
            # What a framework keeps in its lifespan scope, it looks for in each request's too.
            send = after_startup(send, lambda: self._start(scope))
        await self._app(scope, receive, send)

    def _start(self, lifespan: Scope) -> None:
        self._running = asyncio.create_task(self._until_ready(lifespan))

    async def _until_ready(self, lifespan: Scope) -> None:
        self._context.startup.begins(Phase.COMPLETION)
        began, wait = time.monotonic(), _FIRST_WAIT
        probe = self._context.engine.probe()
        while probe is not None and (fault := await self._fault_of(probe, lifespan)) is not None:
            _log.warning("not ready: %s; trying again in %.1f s", fault, wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
        self._context.lifecycle.ready()
        self._context.startup.begins(Phase.READY)
        proof = f"{probe.path} answered" if probe else "this model has no route to try"
        _log.info("ready: %s, %.2f s after startup", proof, time.monotonic() - began)

    async def _fault_of(self, probe: Probe, lifespan: Scope) -> str | None:
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                status, body = await post(self._app, probe, lifespan)
        except TimeoutError:
            return f"{probe.path} did not answer in {_ATTEMPT_SECONDS} s"
        except Exception as error:  # noqa: BLE001  whatever the engine raises, it is not ready
            return f"{probe.path} raised {type(error).__name__}: {error}"[:_SHOWN]
        if status == 200:
            return None
        return f"{probe.path} answered {status}: {body.decode(errors='replace')[:_SHOWN]}"


async def post(app: App, probe: Probe, lifespan: Scope) -> tuple[int, bytes]:
    """Call the application in process, as an HTTP server would; returns status and body."""
    content = json.dumps(probe.body).encode()
    scope: Scope = {
        **lifespan,
        "type": "http",
        "http_version": "1.1",
        "method": probe.method,
        "scheme": "http",
        "path": probe.path,
        "raw_path": probe.path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            *probe.headers,
        ],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
        "state": dict(lifespan.get("state", {})),  # what is noted of it is of no later request
    }
    request = iter([{"type": "http.request", "body": content, "more_body": False}])
    status, body, gone = 0, bytearray(), asyncio.Event()

    async def receive() -> Message:
        for message in request:
            return message
        await gone.wait()  # the caller stays until the answer is whole
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            body.extend(message.get("body", b""))

    await app(scope, receive, send)
    return status, bytes(body)
