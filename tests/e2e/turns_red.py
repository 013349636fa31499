"""Looks at a pod's /livez until it is red.

    python3 - POD_URL

Prints a line "green" when it is so in the beginning, and one JSON object when it no longer is:
{"when": seconds since the epoch, "reason": what it says}; a server that is gone is as red, and says
nothing. Runs inside a pod on Python's standard library.
"""

import json
import sys
import time
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

_TIMEOUT = 30
_LIMIT = 120
_PAUSE = 0.02

url = urlsplit(sys.argv[1])


def livez() -> tuple[int, str]:
    connection = HTTPConnection(str(url.hostname), url.port or 80, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        return answer.status, json.load(answer).get("reason", "")
    except (OSError, HTTPException):
        return 0, ""


status, reason = livez()
if status != 200:
    sys.exit(f"it was red before: {reason}")
print("green", flush=True)
until = time.monotonic() + _LIMIT
while status == 200:
    if time.monotonic() > until:
        sys.exit(f"it is green after {_LIMIT} s")
    time.sleep(_PAUSE)
    status, reason = livez()
print(json.dumps({"when": time.time(), "reason": reason}))
