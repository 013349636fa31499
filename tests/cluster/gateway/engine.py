"""A program: an engine behind the servers, which answers as OpenAI's do and says what it did.

A word is a token, an answer has as many as `max_tokens` says, and its first one is its number, so
that what is given again is told from what was computed. GET /ran says how many were begun.
"""

import asyncio
import json
from itertools import count

import uvicorn
from llmservice_server.gateway.asgi import Receive, Scope, Send, answer_json
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PROMPT = 5
"""Tokens that a prompt has, whatever it says: fewer than are reserved for the shortest one."""
SECONDS_A_WORD = {"quick": 0.0, "slow": 0.05}
"""By the model."""


class Engine:
    def __init__(self) -> None:
        self._numbers, self._ran = count(1), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["method"], scope["path"]:
            case "POST", "/v1/chat/completions":
                await self._chat(json.loads(await _body(receive)), receive, send)
            case "GET", "/v1/models":
                listed = [{"id": name, "object": "model"} for name in SECONDS_A_WORD]
                await answer_json(send, 200, {"object": "list", "data": listed})
            case "GET", "/ran":
                await answer_json(send, 200, self._ran)
            case _:
                await answer_json(send, 404, {"error": {"message": "there is none"}})

    async def _chat(self, asked: dict[str, object], receive: Receive, send: Send) -> None:
        self._ran = number = next(self._numbers)
        length, pace = int(str(asked["max_tokens"])), SECONDS_A_WORD[str(asked["model"])]
        words = [f"{number} ", *("word " for _ in range(length - 1))]
        told = {"id": f"chatcmpl-{number}", "model": asked["model"]}
        usage = {
            "prompt_tokens": PROMPT,
            "completion_tokens": length,
            "total_tokens": PROMPT + length,
        }
        gone = asyncio.create_task(receive())
        try:
            if not asked.get("stream"):
                if pace:
                    await asyncio.wait({gone}, timeout=pace * length)
                message = {"role": "assistant", "content": "".join(words)}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                await answer_json(send, 200, {**told, "choices": [choice], "usage": usage})
                return
            kind = (b"content-type", b"text/event-stream")
            await send({"type": "http.response.start", "status": 200, "headers": [kind]})
            for word in words:
                if pace:
                    await asyncio.sleep(pace)
                if gone.done():
                    return
                await _tell(send, {**told, "choices": [{"index": 0, "delta": {"content": word}}]})
            await _tell(send, {**told, "choices": [], "usage": usage})
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
        finally:
            gone.cancel()


async def _tell(send: Send, event: object) -> None:
    piece = f"data: {json.dumps(event)}\n\n".encode()
    await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _body(receive: Receive) -> bytes:
    read = b""
    while True:
        message = await receive()
        read += message.get("body", b"")
        if not message.get("more_body"):
            return read


class _Server(uvicorn.Server):
    async def startup(self, sockets: object = None) -> None:
        await super().startup(sockets)  # type: ignore[arg-type]
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)  # noqa: T201


if __name__ == "__main__":
    _Server(
        uvicorn.Config(
            Engine(),
            host="127.0.0.1",
            port=0,
            lifespan="off",
            log_config=None,
            access_log=False,
            http=HttpToolsProtocol,
            timeout_keep_alive=600,
            backlog=4096,
        )
    ).run()
