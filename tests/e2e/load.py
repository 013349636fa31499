"""Clients that never retry, against one LLMService, until standard input closes.

    python3 load.py BASE_URL MODEL KIND...

The kinds that are named work at once. Each of three keeps most of a core busy: fresh opens a
connection for each request, pooled keeps its connection as long as the server does, streams reads
streams that outlast the grace of a draining server and must end with their sentinel. models asks
ten times a second what is served, which costs next to nothing. Each failure is final and written
down. Prints "working" once each kind is being answered, and one JSON object at the end:
{"KIND": n, ..., "failures": ["kind: what happened", ...]}
Runs inside a pod on Python's standard library.
"""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

_TIMEOUT = 120  # two cores run two engines and a third that starts
_PAUSE = 0.5  # room for the engine that starts meanwhile
_SHORT_PAUSE = 0.1
_STREAM_TOKENS = 400
_MAX_FAILURES = 50

url = urlsplit(sys.argv[1])
model = sys.argv[2]
stopping = threading.Event()
answered: set[str] = set()
done: Counter[str] = Counter()
failures: list[str] = []


def connect() -> HTTPConnection:
    return HTTPConnection(str(url.hostname), url.port or 80, timeout=_TIMEOUT)


def post(connection: HTTPConnection, tokens: int, *, stream: bool) -> HTTPResponse:
    body = {
        "model": model,
        "prompt": "Once upon a time",
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": stream,
    }
    headers = {"Content-Type": "application/json"}
    connection.request("POST", f"{url.path}/completions", json.dumps(body), headers)
    return answer(connection)


def answer(connection: HTTPConnection) -> HTTPResponse:
    """Its beginning has arrived; RuntimeError where its status is not 200."""
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(f"{response.status}: {response.read()[:200].decode()}")
    answered.add(threading.current_thread().name)
    return response


def fresh() -> None:
    connection = connect()
    json.load(post(connection, 1, stream=False))["choices"][0]["text"]
    connection.close()


kept = connect()


def pooled() -> None:
    """http.client opens a new connection only where the server announced that it closes this."""
    json.load(post(kept, 1, stream=False))["choices"][0]["text"]


def streams() -> None:
    connection = connect()
    whole = post(connection, _STREAM_TOKENS, stream=True).read()
    lines = [line for line in whole.split(b"\n") if line]
    connection.close()
    if lines[-1] != b"data: [DONE]":
        raise RuntimeError(f"ended without its sentinel: {lines[-1][:200].decode()}")
    last = json.loads(lines[-2].removeprefix(b"data: "))
    if "error" in last or last["choices"][0]["finish_reason"] != "length":
        raise RuntimeError(f"ended early: {lines[-2][:200].decode()}")


def models() -> None:
    connection = connect()
    connection.request("GET", f"{url.path}/models")
    json.load(answer(connection))["data"][0]["id"]
    connection.close()


def repeat(kind: Callable[[], None]) -> None:
    while not stopping.is_set() and len(failures) < _MAX_FAILURES:
        begun = time.strftime("%H:%M:%S")
        try:
            kind()
            done[kind.__name__] += 1
        except Exception as error:  # noqa: BLE001  whatever it is, the request failed
            failures.append(f"{kind.__name__} of {begun}: {type(error).__name__}: {error}")
            if kind is pooled:
                kept.close()
        time.sleep(_SHORT_PAUSE if kind is models else _PAUSE)


kinds = {kind.__name__: kind for kind in (fresh, pooled, streams, models)}
threads = [threading.Thread(None, repeat, name, (kinds[name],)) for name in sys.argv[3:]]
for thread in threads:
    thread.start()
while len(answered) < len(threads) and not failures:
    time.sleep(_PAUSE)
print("working", flush=True)
sys.stdin.read()
stopping.set()
for thread in threads:
    thread.join()
print(json.dumps({**done, "failures": failures}))
