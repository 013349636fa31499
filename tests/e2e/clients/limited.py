"""OpenAI's client for Python before a server that asks for a key and limits what it may do.

    python3 - BASE_URL MODEL KEY

Prints one JSON object: what a wrong key is answered; how many requests with the good one, each on a
connection of its own, come through until one is refused with 429, and within how many seconds; what
that one is answered; and the statuses that a client sees which tries again by itself, with the
seconds. 503 is passed over: a replica that has not reached its Redis yet answers so, and charges
nothing.
"""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from openai import APIStatusError, DefaultHttpxClient, OpenAI

url, model, key = sys.argv[1:4]
asked: Any = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
EACH_ANEW = {"Connection": "close"}
NAMES = ("limit-requests", "remaining-requests", "reset-requests")
MOST, BUSY = 100, 503


def client(api_key: str, retries: int, statuses: list[int] | None = None) -> OpenAI:
    def note(response: Any) -> None:
        if statuses is not None:
            statuses.append(response.status_code)

    return OpenAI(
        base_url=url,
        api_key=api_key,
        max_retries=retries,
        default_headers=EACH_ANEW,
        http_client=DefaultHttpxClient(event_hooks={"response": [note]}),
    )


def refusal(error: APIStatusError) -> dict[str, Any]:
    headers = error.response.headers
    return {
        "class": type(error).__name__,
        "status": error.status_code,
        "code": error.code,
        "headers": {name: headers.get(f"x-ratelimit-{name}") for name in NAMES},
        "retry_after": headers.get("retry-after"),
    }


def refusals(of: OpenAI) -> Iterator[dict[str, Any] | None]:
    """Of one request after the other, None where it comes through."""
    for _ in range(MOST):
        try:
            of.chat.completions.create(**asked)
        except APIStatusError as error:
            yield refusal(error)
        else:
            yield None


wrong = next(refusals(client("sk-this-one-opens-nothing", 0)))
began = time.monotonic()
passed, refused = 0, None
for refused in refusals(client(key, 0)):
    if refused is None:
        passed += 1
    elif refused["status"] != BUSY:
        break
took = time.monotonic() - began

statuses: list[int] = []
began = time.monotonic()
client(key, 2, statuses).chat.completions.create(**asked)
again = {"statuses": statuses, "seconds": time.monotonic() - began}
print(
    json.dumps(
        {"wrong": wrong, "passed": passed, "seconds": took, "refused": refused, "again": again}
    )
)
