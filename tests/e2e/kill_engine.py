"""Kills vLLM's engine process, and prints the seconds until /livez is red, with what it says.

    python3 -

Runs inside the server's own container on Python's standard library.
"""

import json
import os
import signal
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

_LIMIT = 30.0


def engine() -> int:
    """The number of its process, which has a name of its own."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and b"EngineCore" in (entry / "cmdline").read_bytes():
            return int(entry.name)
    sys.exit("no process is vLLM's engine")


def livez() -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", 8000, timeout=_LIMIT)
    connection.request("GET", "/livez")
    answer = connection.getresponse()
    return answer.status, json.load(answer).get("reason", "")


status, reason = livez()
if status != 200:
    sys.exit(f"it was red before: {reason}")
os.kill(engine(), signal.SIGKILL)
began = time.monotonic()
while status == 200:
    status, reason = livez()
    time.sleep(0.02)
sys.stdout.write(json.dumps([time.monotonic() - began, reason]))
