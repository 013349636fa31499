"""An engine with OpenAI's routes for the routes beside them, behind the gateway, on a real socket.

What is asked decides what happens: see ``_refusal`` and ``_pieces``. It keeps what it was asked.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from llmservice_server import api
from llmservice_server.config import ApiConfig, ModelConfig, ServerConfig
from llmservice_server.gateway import Gateway
from llmservice_server.gateway.context import Context, Probe
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tests.unit.server.small_engine import listening

CONTEXT = 200  # tokens; a word is one
_MODELS = [
    {"id": "small", "max_model_len": CONTEXT, "parent": None},
    {"id": "french", "max_model_len": None, "parent": "small"},
]
_ANSWER = [" Paris", ".", ""]
_USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


@dataclass
class OpenAIEngine:
    tokenizes: bool = True
    fault_: str | None = None
    asked: list[tuple[str, Any]] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    left: int = 0
    running: int = 0

    def fault(self) -> str | None:
        return self.fault_

    def gpu(self) -> bool:
        return False

    def routed(self, named: str) -> str | None:
        return named if named in {"small", "french"} else None

    def probe(self) -> Probe | None:
        return None

    def bodies(self, path: str) -> list[Any]:
        return [body for asked, body in self.asked if asked == path]

    def app(self) -> FastAPI:
        app = FastAPI()
        app.add_api_route("/v1/models", self._models)
        app.add_api_route("/version", self._version)
        app.add_api_route("/metrics", self._metrics)
        app.add_api_route("/v1/completions", self._generate, methods=["POST"])
        app.add_api_route("/v1/chat/completions", self._generate, methods=["POST"])
        if self.tokenizes:
            app.add_api_route("/tokenize", self._tokenize, methods=["POST"])
        return app

    async def _models(self) -> Any:
        return {"object": "list", "data": _MODELS}

    async def _version(self) -> Any:
        return {"version": "1.2.3"}

    async def _metrics(self) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def _tokenize(self, request: Request) -> Any:
        body = await request.json()
        self.asked.append(("/tokenize", body))
        return {"count": sum(len(m["content"].split()) for m in body["messages"])}

    async def _generate(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append((request.url.path, body))
        self.ids.append(request.headers.get("x-request-id"))
        words = body.get("prompt") or body["messages"][-1]["content"]
        model = body.setdefault("model", "small")
        if refusal := _refusal(words, model):
            return refusal
        chat = "messages" in body
        if not body.get("stream"):
            await self._wait(words, request)
            text = "\ud83d" if words == "half" else "".join(_ANSWER)
            said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
            choices = [{**said, "finish_reason": "stop"}]
            answer = {"model": body["model"], "choices": choices, "usage": _USAGE}
            return Response(json.dumps(answer), media_type="application/json")
        assert body["stream_options"] == {"include_usage": True}
        return StreamingResponse(self._stream(words, chat), media_type="text/event-stream")

    async def _wait(self, words: str, request: Request) -> None:
        """As vLLM: what the client no longer waits for ends."""
        if words != "slow":
            return
        self.running += 1
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.running -= 1
        self.left += 1

    async def _stream(self, words: str, chat: bool) -> AsyncIterator[bytes]:  # noqa: FBT001
        def event(document: Any) -> bytes:
            return b"data: " + json.dumps(document).encode() + b"\n\n"

        def piece(text: str, finish: str | None) -> bytes:
            said = {"delta": {"content": text}} if chat else {"text": text}
            return event({"model": "small", "choices": [{**said, "finish_reason": finish}]})

        yield b": keep-alive\n\n"
        if words == "slow":
            self.running += 1
            try:
                while True:
                    yield piece("word ", None)
                    await asyncio.sleep(0.02)
            finally:
                self.running -= 1
                self.left += 1
        if words == "break":
            yield event({"error": {"message": "out of memory", "type": "InternalServerError"}})
            yield b"data: [DONE]\n\n"
            return
        texts = ["x" * 640_000] if words == "in drops" else _ANSWER
        whole = b"".join([piece(text, None) for text in texts])
        if words == "cut":
            yield whole
            return
        whole += piece("", "stop") + event({"choices": [], "usage": _USAGE}) + b"data: [DONE]\n\n"
        size = {"in bytes": 1, "in drops": 16}.get(words, len(whole))
        for at in range(0, len(whole), size):
            yield whole[at : at + size]


def _refusal(words: str, model: str) -> Response | None:
    """A status as the words, or vLLM's answer to a model that it does not serve."""
    if words == "raise":
        raise RuntimeError("a fault in the engine's own code")
    if words == "nonsense":
        return Response("<html>", 200, media_type="text/html")
    if model not in {"small", "french"}:
        return _error(404, f"The model `{model}` does not exist.", "NotFoundError", "model")
    if re.fullmatch("[45][0-9]{2}", words):
        return _error(int(words), f"it is a {words}", "SomeError", None)
    if words == "unauthorized":
        return JSONResponse({"error": "Unauthorized"}, 401)
    return None


def _error(status: int, message: str, kind: str, param: str | None) -> Response:
    body = {"error": {"message": message, "type": kind, "param": param, "code": status}}
    return JSONResponse(body, status, {"retry-after": "7"} if status in {429, 503} else None)


@dataclass(frozen=True)
class Running:
    url: str
    port: int
    engine: OpenAIEngine
    context: Context
    client: httpx2.AsyncClient


@asynccontextmanager
async def running(
    engine: OpenAIEngine | None = None,
    on: ApiConfig | None = None,
    **parts: Any,
) -> AsyncIterator[Running]:
    engine = engine or OpenAIEngine()
    model = ModelConfig(uri="hf://org/small", source="org/small", served_name="small")
    config = ServerConfig(model=model, api=on or ApiConfig(), **parts)
    context = Context.of(config, engine)
    app = engine.app()
    api.attach(app, context)
    async with listening(Gateway(app, context), config.http) as port:
        url = f"http://127.0.0.1:{port}"
        async with httpx2.AsyncClient(base_url=url, timeout=10) as client:
            while context.lifecycle.phase.value == "starting":
                await asyncio.sleep(0.005)
            yield Running(url, port, engine, context, client)
