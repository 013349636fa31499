"""The demo: python -m dev.demo up | down.

`up` shows the main job done, from nothing to a streamed answer, and says what each step waits for;
run again it keeps what is there. `down` removes the cluster with everything in it.
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

CLUSTER = "demo"
NAMESPACE = "demo"
EXAMPLE = Path("examples/cpu.yaml")
SERVICE = "smollm2"
QUESTION = "What is the capital of France?"
_READY_SECONDS = 600

_PATCH = '{"spec": {"engine": {"args": {"max-model-len": 512}}}}'
_NEXT = f"""
Try next, in a shell with eval "$(make -s env)":

  kubectl -n {NAMESPACE} get llm,deployment,service,configmap,poddisruptionbudget,pod
  kubectl -n {NAMESPACE} patch llm {SERVICE} --type=merge -p '{_PATCH}'
  kubectl explain llmservice.spec

`make demo-down` removes all of it."""


def up() -> None:
    """Raise where a step fails; the exception tells which command said what."""
    running = stack.up(CLUSTER, NAMESPACE)
    cluster = running.cluster
    with step("apply", f"{EXAMPLE} to be Ready; vLLM takes most of a minute to start"):
        cluster.kubectl("apply", "-n", NAMESPACE, "-f", str(EXAMPLE))
        url = _wait_ready(cluster)
    with step("client", "a pod that asks through the Service"):
        client.start(cluster, NAMESPACE, running.images.operator)
    print(f"\n  {QUESTION}\n  ", end="", flush=True)
    ask = client.popen(cluster, NAMESPACE, Path("dev/ask.py"), url, QUESTION, stdin=DEVNULL)
    if ask.wait(timeout=120):
        raise SystemExit("no answer; see what its server says: kubectl -n demo logs deploy/smollm2")
    print(f"\n$ kubectl -n {NAMESPACE} get llm")
    print(cluster.kubectl("-n", NAMESPACE, "get", "llm"))
    print(_NEXT)


def _wait_ready(cluster: Cluster) -> str:
    """The resource's URL once it is Ready; what it says meanwhile is printed when it changes."""
    shown = ""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        got = json.loads(cluster.kubectl("-n", NAMESPACE, "get", "llm", SERVICE, "-o", "json"))
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
            case ["up"]:
                up()
            case ["down"]:
                stack.down(CLUSTER)
            case _:
                raise SystemExit(__doc__)
