"""Asks an LLMService one question and prints its answer as the tokens arrive.

    python3 ask.py BASE_URL QUESTION

Runs inside a pod, so it needs nothing but Python's standard library. Exits 1 with a sentence where
the answer does not end as a stream should. The last line holds the figures.
"""

import json
import sys
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

_TIMEOUT = 60


def main(base_url: str, question: str) -> None:
    url = urlsplit(base_url)
    connection = HTTPConnection(str(url.hostname), url.port or 80, timeout=_TIMEOUT)
    connection.request("GET", f"{url.path}/models")
    model = json.load(connection.getresponse())["data"][0]["id"]
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": 64,
        "stream": True,
    }
    headers = {"Content-Type": "application/json"}
    begun = time.monotonic()
    connection.request("POST", f"{url.path}/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    if response.status != 200:
        sys.exit(f"ask: {response.status}: {response.read().decode()}")
    arrivals: list[float] = []
    for line in response:
        if not line.startswith(b"data: "):
            continue
        data = line.removeprefix(b"data: ").strip()
        if data == b"[DONE]":
            break
        chunk = json.loads(data)
        if "error" in chunk:
            sys.exit(f"ask: {chunk['error']}")
        text = chunk["choices"][0]["delta"].get("content") if chunk["choices"] else None
        if text:
            arrivals.append(time.monotonic() - begun)
            print(text, end="", flush=True)
    else:
        sys.exit("ask: the stream ended before its [DONE]")
    if not arrivals:
        sys.exit("ask: the stream ended as it should, but held no text")
    first, last = arrivals[0], arrivals[-1]
    print(f"\n({len(arrivals)} pieces, the first after {first:.2f} s, the last after {last:.2f} s)")


if __name__ == "__main__":
    main(*sys.argv[1:])
