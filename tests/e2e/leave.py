"""Asks for a long completion, leaves when it runs, and prints the seconds until vLLM runs nothing.

    python3 leave.py BASE_URL MODEL stream|whole

Runs inside a pod on Python's standard library.
"""

import json
import re
import sys
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

_LIMIT = 30.0
_RUNNING = re.compile(rb"^vllm:num_requests_running\S* (\S+)$", re.MULTILINE)

url = urlsplit(sys.argv[1])
model, stream = sys.argv[2], sys.argv[3] == "stream"


def connect() -> HTTPConnection:
    return HTTPConnection(str(url.hostname), url.port or 80, timeout=_LIMIT)


asking = connect()


def running() -> float:
    asking.request("GET", "/metrics")
    return sum(map(float, _RUNNING.findall(asking.getresponse().read())))


def seconds_until(wanted: bool) -> float:  # noqa: FBT001
    began = time.monotonic()
    while (running() > 0) is not wanted:
        if time.monotonic() - began > _LIMIT:
            sys.exit(f"vLLM runs {running():.0f} requests after {_LIMIT:.0f} s")
        time.sleep(0.02)
    return time.monotonic() - began


seconds_until(wanted=False)
leaving = connect()
body = {"model": model, "prompt": "Once", "max_tokens": 900, "ignore_eos": True, "stream": stream}
headers = {"Content-Type": "application/json"}
leaving.request("POST", f"{url.path}/completions", json.dumps(body), headers)
seconds_until(wanted=True)
leaving.close()
sys.stdout.write(str(seconds_until(wanted=False)))
