"""Streams from one pod while it is ended, and what others are answered meanwhile.

    python3 - POD_URL MODEL STREAMS SECONDS

The streams are as long as takes so many seconds at the pace of as many that were tried before.
Prints a line "streaming" once each has begun, "draining" once the pod calls itself unready,
"refusing" once it refuses a request, and one JSON object when it is gone and the streams are over:
{"tokens": of each stream, "streams": [how each ended, ...], "streaming": when, "unready": when,
"answers": [[when, status, Connection, Retry-After], ...]} with times in seconds since the epoch. Of
a stream that ended as it should it says "whole"; its tokens are counted by their ids.
Runs inside a pod on Python's standard library.
"""

import json
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

_TIMEOUT = 300
_PAUSE = 0.1
_TRIED_TOKENS = 16
_MOST_TOKENS = 700  # have room in the model's context

url, model = urlsplit(sys.argv[1]), sys.argv[2]
streams, seconds = int(sys.argv[3]), int(sys.argv[4])
prompt = {"model": model, "prompt": "Once upon a time"}
begun = threading.Semaphore(0)
ends: list[str] = []
answers: list[tuple[float, int, str | None, str | None]] = []
unready = 0.0


def connect() -> HTTPConnection:
    return HTTPConnection(str(url.hostname), url.port or 80, timeout=_TIMEOUT)


def post(connection: HTTPConnection, **fields: object) -> None:
    headers = {"Content-Type": "application/json"}
    body = json.dumps({**prompt, "ignore_eos": True, **fields})
    connection.request("POST", f"{url.path}/completions", body, headers)


def stream(tokens: int) -> None:
    began = time.monotonic()
    try:
        ends.append(read_stream(tokens))
    except (OSError, HTTPException, ValueError, KeyError) as error:
        after = time.monotonic() - began
        ends.append(f"{type(error).__name__} after {after:.1f} s: {error}")


def read_stream(tokens: int) -> str:
    connection = connect()
    post(connection, max_tokens=tokens, stream=True, return_token_ids=True)
    came, reason, waiting = 0, None, True
    for line in connection.getresponse():
        if not line.startswith(b"data: "):
            continue
        if line.strip() == b"data: [DONE]":
            whole = (came, reason) == (tokens, "length")
            return "whole" if whole else f"{came} tokens, ended by {reason}"
        chunk = json.loads(line.removeprefix(b"data: "))
        if "error" in chunk:
            return f"{came} tokens, then {chunk['error']}"
        (choice,) = chunk["choices"]
        came += len(choice["token_ids"] or ())
        reason = choice["finish_reason"] or reason
        if waiting and came:
            waiting = False
            begun.release()
    return f"{came} tokens and no sentinel"


def look() -> bool:
    """Whether the pod calls itself ready."""
    connection = connect()
    connection.request("GET", "/readyz")
    return connection.getresponse().status == 200


def ask() -> int:
    connection = connect()
    post(connection, max_tokens=1)
    answer = connection.getresponse()
    answer.read()
    told = (answer.getheader("connection"), answer.getheader("retry-after"))
    answers.append((time.time(), answer.status, *told))
    return answer.status


def begin(tokens: int) -> list[threading.Thread]:
    """So many streams, each with its first token."""
    threads = [threading.Thread(target=stream, args=(tokens,), daemon=True) for _ in range(streams)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + _TIMEOUT
    for number, _ in enumerate(threads):
        while not begun.acquire(timeout=1):
            if time.monotonic() > until or any(how != "whole" for how in ends):
                sys.exit(f"{number} of {streams} streams have begun; ended: {ends}")
    return threads


def end(threads: list[threading.Thread]) -> list[str]:
    """How they ended."""
    for thread in threads:
        thread.join()
    found, ends[:] = ends[:], []
    return found


def pace() -> float:
    """Tokens a second of as many streams."""
    trial = begin(_TRIED_TOKENS)
    began = time.monotonic()
    end(trial)
    return (_TRIED_TOKENS - 1) / (time.monotonic() - began)


pace()  # the first ones of an engine are slow
tokens = min(round(pace() * seconds), _MOST_TOKENS)
threads = begin(tokens)
streaming = time.time()
print("streaming", flush=True)
try:
    while look():
        time.sleep(_PAUSE)
    unready = time.time()
    print("draining", flush=True)
    while ask() == 200:
        time.sleep(_PAUSE)
    print("refusing", flush=True)
    while True:
        time.sleep(_PAUSE)
        ask()
except (OSError, HTTPException):  # it is gone
    pass
found = {"tokens": tokens, "streams": end(threads), "streaming": streaming, "unready": unready}
print(json.dumps({**found, "answers": answers}))
