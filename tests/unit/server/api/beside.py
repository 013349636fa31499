"""The routes beside OpenAI's, for their tests: a request to each, and what their answers say."""

import json
from datetime import datetime
from typing import Any

import httpx2

ROUTES = {"/inference", "/stream", "/api/v1/infer", "/api/chat", "/predict", "/predict/batch"}


def asked_of(path: str, words: str = "France?") -> dict[str, Any]:
    if path == "/api/chat":
        return {"messages": [{"role": "user", "content": words}]}
    return {"prompts": [words]} if path == "/predict/batch" else {"prompt": words}


def events(text: str) -> list[Any]:
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def sentence_of(answer: httpx2.Response) -> str:
    """Of an error in the shape of its route, which is checked."""
    body = answer.json()
    if answer.request.url.path.startswith("/predict"):
        assert body.keys() == {"error", "message", "details", "timestamp", "request_id"}
        assert body["request_id"] == answer.headers["x-request-id"]
        assert datetime.fromisoformat(body["timestamp"]).tzinfo
        return body["message"]
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}
    return body["error"]["message"]
