"""The engine's application: what is forwarded, which models there are, and FastAPI for the rest.

What is forwarded reaches FastAPI's router only to be refused or to be in /docs: it is the hot path.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from llmservice_server.config import EngineConfig
from llmservice_server.engines.proxy import failure
from llmservice_server.engines.proxy.failure import Failure
from llmservice_server.engines.proxy.forward import ROUTES, Forward
from llmservice_server.engines.proxy.upstreams import Upstreams
from llmservice_server.gateway.asgi import Receive, Scope, Send

_log = logging.getLogger("llmservice.upstream")
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["model"],
                    "properties": {"model": {"type": "string"}},
                    "additionalProperties": True,
                }
            }
        },
    }
}


class Application:
    """An ASGI application; ``fastapi`` is where more routes go."""

    def __init__(self, config: EngineConfig, upstreams: Upstreams, *, docs: bool = True) -> None:
        self._upstreams = upstreams
        self._forward = Forward(upstreams, config.timeouts)
        self._began = int(time.time())
        document = "/openapi.json" if docs else None  # without it there is no /docs either
        self.fastapi = FastAPI(title="LLMService", openapi_url=document, lifespan=self._lifespan)
        self.fastapi.add_api_route("/v1/models", self._list, summary="Every model there is")
        self.fastapi.add_api_route("/v1/models/{model:path}", self._describe, summary="One model")
        self.fastapi.add_api_route("/metrics", _metrics, summary="What Prometheus scrapes")
        for path, summary in ROUTES.items():
            self.fastapi.add_api_route(
                path, self._forwarded, methods=["POST"], summary=summary, openapi_extra=_BODY
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in ROUTES and scope["method"] == "POST":
            await self._forward(scope, receive, send)
        else:
            await self.fastapi(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncGenerator[None]:
        listing = asyncio.create_task(self._upstreams.keep_listed())
        yield
        listing.cancel()
        with suppress(asyncio.CancelledError):
            await listing
        self._upstreams.close()

    async def _list(self) -> Response:
        """Every model of every upstream. Before one of them was reached, it is looked whether one
        is.
        """
        if not self._upstreams.reached:
            faults = await self._upstreams.look()
            if not self._upstreams.reached:
                _log.warning("no upstream can be reached: %s", "; ".join(faults))
                return _response(failure.unavailable("No upstream can be reached."))
        data = [self._told(name) for name in self._upstreams.names]
        return JSONResponse({"object": "list", "data": data})

    async def _describe(self, model: str) -> Response:
        if self._upstreams.serve(model):
            return JSONResponse(self._told(model))
        return _response(failure.no_such_model(model, self._upstreams.names))

    def _told(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": self._began, "owned_by": "llmservice"}

    async def _forwarded(self, _: Request) -> Response:
        return _Forwarded(self._forward)


class _Forwarded(Response):
    """What FastAPI takes for a response, where a request came through its router."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self._forward = forward

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._forward(scope, receive, send)


def _response(told: Failure) -> Response:
    headers = {name.decode(): value.decode() for name, value in told.headers}
    return JSONResponse(told.error, told.status, headers)


async def _metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
