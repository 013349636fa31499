"""The demo: python -m dev.demo up | down [NAME]

`up` shows the main job done, from nothing to a streamed answer, and says what each step waits for;
run again it keeps what is there. `down` removes the cluster with everything in it. NAME, "demo" by
default, is that of the cluster and of the namespace in it.
"""

import json
import sys
import time
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

from devcluster import Cluster, failures

from dev import client, stack
from dev.progress import say, step

NAME = "demo"
EXAMPLE = Path("examples/cpu.yaml")
SERVICE = "smollm2"
QUESTION = "What is the capital of France?"
_READY_SECONDS = 600

_PATCH = '{"spec": {"engine": {"args": {"max-model-len": 512}}}}'
_NEXT = """
Try next, in a shell with eval "$(make -s env)":

  kubectl -n {name} get llm,deployment,service,configmap,poddisruptionbudget,pod
  kubectl -n {name} patch llm {service} --type=merge -p '{patch}'
  kubectl explain llmservice.spec

`make demo-down` removes all of it."""


def up(name: str) -> None:
    """Raise where a step fails; the exception tells which command said what."""
    running = stack.up(name, name)
    cluster = running.cluster
    with step("apply", f"{EXAMPLE} to be Ready; vLLM takes most of a minute to start"):
        cluster.kubectl("apply", "-n", name, "-f", str(EXAMPLE))
        url = _wait_ready(cluster, name)
    with step("client", "a pod that asks through the Service"):
        client.start(cluster, name, running.images.operator)
    print(f"\n  {QUESTION}\n  ", end="", flush=True)
    ask = client.popen(cluster, name, Path("dev/ask.py"), url, QUESTION, stdin=DEVNULL)
    if ask.wait(timeout=120):
        logs = f"kubectl -n {name} logs deploy/{SERVICE}"
        raise SystemExit(f"no answer; see what its server says: {logs}")
    print(f"\n$ kubectl -n {name} get llm")
    print(cluster.kubectl("-n", name, "get", "llm"))
    print(_NEXT.format(name=name, service=SERVICE, patch=_PATCH))


def _wait_ready(cluster: Cluster, namespace: str) -> str:
    """The resource's URL once it is Ready; what it says meanwhile is printed when it changes."""
    shown = ""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        got = json.loads(cluster.kubectl("-n", namespace, "get", "llm", SERVICE, "-o", "json"))
        message = _message(got)
        if message != shown:
            say(f"  {message}")
            shown = message
        if stack.condition(got, "Ready").get("status") == "True":
            return got["status"]["url"]
        time.sleep(2)
    raise SystemExit(f"not Ready within {_READY_SECONDS} s; the last word: {shown}")


def _message(resource: dict[str, Any]) -> str:
    """What matters most now: what is wrong, else what goes on, else the state."""
    degraded, progressing, ready = (
        stack.condition(resource, kind) for kind in ("Degraded", "Progressing", "Ready")
    )
    for condition in (degraded, progressing):
        if condition.get("status") == "True":
            return f"{condition['reason']}: {condition['message']}"
    return f"{ready.get('reason', 'Waiting')}: {ready.get('message', 'no status yet')}"


if __name__ == "__main__":
    with failures.told("demo"):
        match sys.argv[1:]:
            case ["up", *name] if len(name) < 2:
                up(*name or [NAME])
            case ["down", *name] if len(name) < 2:
                stack.down(*name or [NAME])
            case _:
                raise SystemExit(__doc__)
