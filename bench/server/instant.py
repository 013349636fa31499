"""An engine that answers at once, on uvicorn, bare or behind the gateway.

    python -m bench.server.instant PORT [--gateway]
    python -m bench.server.instant --inside ROUNDS

The second form has no sockets: it calls the application in this process, bare and behind the
gateway in turn, and prints a JSON object a round. The gateway is as in production, with the line
that it logs of each request; both write to standard output, which goes nowhere.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import uvicorn
import uvloop
from llmservice_server import logs
from llmservice_server.config import HttpConfig, ModelConfig, ServerConfig
from llmservice_server.engines.connections import guarded
from llmservice_server.gateway import Gateway
from llmservice_server.gateway.asgi import App, Message, Receive, Scope, Send
from llmservice_server.gateway.context import Context, Probe
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bench.server import request

_ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": request.MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "The capital of France is Paris."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 30, "completion_tokens": 8, "total_tokens": 38},
    }
).encode()
_EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench",'
    b'"choices":[{"index":0,"delta":{"content":" Paris"},"finish_reason":null}]}\n\n'
)
_LAST = b"data: [DONE]\n\n"
_JSON = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ANSWER))]
_SSE = [(b"content-type", b"text/event-stream; charset=utf-8")]
_START, _BODY = "http.response.start", "http.response.body"
_REQUESTS, _CHUNKS, _STREAMS = 2000, 1000, 20  # of each side in a round inside


class Instant:
    """Reads the request and answers."""

    def fault(self) -> str | None:
        return None

    def probe(self) -> Probe | None:
        return None

    def gpu(self) -> bool | None:
        return None

    def routed(self, named: str) -> str | None:
        return named or None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if b'"stream": true' in body:
            await send({"type": _START, "status": 200, "headers": [*_SSE]})
            for _ in range(_CHUNKS):
                await send({"type": _BODY, "body": _EVENT, "more_body": True})
            await send({"type": _BODY, "body": _LAST})
        else:
            await send({"type": _START, "status": 200, "headers": [*_JSON]})
            await send({"type": _BODY, "body": _ANSWER})


def _behind_gateway() -> tuple[App, HttpConfig]:
    model = ModelConfig(uri="file:///m", source="/m", served_name=request.MODEL)
    config, engine = ServerConfig(model=model), Instant()
    return Gateway(engine, Context(config, engine)), config.http


def _serve(port: int, *, gateway: bool) -> None:
    app: App = Instant()
    protocol: Any = HttpToolsProtocol
    if gateway:
        app, http = _behind_gateway()
        protocol = guarded(HttpToolsProtocol, http)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        http=protocol,
        loop="uvloop",
        lifespan="off",  # in which the gateway would take over the end of the process
        log_config=None,
        access_log=False,
    )


async def _inside(rounds: int) -> list[dict[str, list[float]]]:
    bare: App = Instant()
    behind, _ = _behind_gateway()
    whole, stream = request.chat(), request.chat(stream=True)
    found: list[dict[str, list[float]]] = []
    for number in range(rounds + 1):
        requests: dict[App, list[float]] = {bare: [], behind: []}
        streams: dict[App, list[float]] = {bare: [], behind: []}
        for _ in range(_REQUESTS):
            for app in (bare, behind):
                requests[app].append(await _call(app, whole))
        for _ in range(_STREAMS):
            for app in (bare, behind):
                streams[app].append(await _call(app, stream))
        if number:  # the first one is for what is made once
            found.append(
                {
                    name: [
                        median(requests[app]),
                        quantiles(requests[app], n=100)[98],
                        median(streams[app]) / _CHUNKS,
                    ]
                    for name, app in (("bare", bare), ("behind", behind))
                }
            )
    return found


async def _call(app: App, body: bytes) -> float:
    """CPU microseconds until it has sent everything: what others use of the core does not count."""
    fields = {"host": "bench", **request.HEADERS, "content-length": str(len(body))}
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 40000),
        "scheme": "http",
        "method": "POST",
        "root_path": "",
        "path": request.PATH,
        "raw_path": request.PATH.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
        "state": {},
    }
    message: Message = {"type": "http.request", "body": body, "more_body": False}

    async def receive() -> Message:
        return message

    async def send(_: Message) -> None:
        return

    begun = time.thread_time()
    await app(scope, receive, send)
    return 1e6 * (time.thread_time() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int, nargs="?", default=0)
    parser.add_argument("--gateway", action="store_true")
    parser.add_argument("--inside", type=int, default=0, metavar="ROUNDS")
    chosen = parser.parse_args()
    told = sys.stdout
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        sys.stdout = nowhere if chosen.inside else sys.stdout
        logs.configure("info", Path(folder))
        if chosen.inside:
            told.write(json.dumps(uvloop.run(_inside(chosen.inside))))
        else:
            _serve(chosen.port, gateway=chosen.gateway)


if __name__ == "__main__":
    main()
