"""The request that is measured: a chat as OpenAI's clients send it, whole or streamed. Pure.

The key is what rivals that want one are given; ours passes it on nowhere.
"""

import json

MODEL = "bench"
KEY = "sk-bench"
PATH = "/v1/chat/completions"
HEADERS = {  # besides its host and its length
    "accept": "application/json",
    "content-type": "application/json",
    "authorization": f"Bearer {KEY}",
    "user-agent": "OpenAI/Python 2.0.0",
    "x-stainless-lang": "python",
    "x-stainless-retry-count": "0",
}
_MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant that answers in one sentence."},
    {"role": "user", "content": "What is the capital of France, and how many people live there?"},
]


def chat(*, stream: bool = False, tokens: int = 16, seed: int | None = None) -> bytes:
    """The body."""
    asked: dict[str, object] = {"model": MODEL, "messages": _MESSAGES, "max_tokens": tokens}
    asked |= {"stream": True} if stream else {}
    return json.dumps(asked | ({} if seed is None else {"seed": seed})).encode()


def http(path: str, body: bytes) -> bytes:
    """The whole request as it goes over the wire."""
    fields = {"host": "bench", **HEADERS, "content-length": str(len(body))}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
