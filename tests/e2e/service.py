"""One LLMService on the real cluster, as its user sees it: read, change, wait, ask."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from devcluster import Cluster, tools

from dev import client, stack

_T = TypeVar("_T")
Manifest = dict[str, Any]
START_SECONDS = 600.0  # a minute on two idle cores, many times that on busy ones
_SEEN_SECONDS = 180.0  # for what takes seconds there
CHILDREN = (
    "deployments,replicasets,pods,services,endpointslices,configmaps,serviceaccounts,"
    "poddisruptionbudgets,horizontalpodautoscalers,networkpolicies"
)
_ASK = Path("dev/ask.py")
_LOAD = Path("tests/e2e/load.py")
_ENDING = Path("tests/e2e/ending.py")


@dataclass(frozen=True)
class Service:
    """The LLMService NAME of a namespace, and the objects that carry its label."""

    cluster: Cluster
    namespace: str
    name: str

    def kubectl(self, *arguments: str, timeout: float = 60) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments, timeout=timeout)

    def items(self, kinds: str, selector: str = "") -> list[Manifest]:
        """Objects of these kinds that are of this service, or that `selector` selects."""
        selector = selector or f"app.kubernetes.io/instance={self.name}"
        return json.loads(self.kubectl("get", kinds, "-l", selector, "-o", "json"))["items"]

    def create(self, manifest: Manifest) -> Manifest:
        text = json.dumps(manifest)
        created = self.cluster.kubectl(
            "-n", self.namespace, "create", "-f", "-", "-o", "json", input=text
        )
        return json.loads(created)

    @contextmanager
    def made(self, spec: Manifest) -> Iterator[None]:
        """There for the time of the block, with this spec."""
        self.create(
            {
                "apiVersion": "llmservice.io/v1alpha1",
                "kind": "LLMService",
                "metadata": {"name": self.name},
                "spec": spec,
            }
        )
        try:
            yield
        finally:
            self.kubectl("delete", "llm", self.name, "--ignore-not-found")

    def get(self) -> Manifest:
        return json.loads(self.kubectl("get", "llm", self.name, "-o", "json"))

    def patch(self, spec: Manifest) -> None:
        """Merge into the spec; None removes a field."""
        text = json.dumps({"spec": spec})
        self.kubectl("patch", "llm", self.name, "--type=merge", "-p", text)

    def wait(self, kind: str, reason: str) -> str:
        """The message of the condition once it has this reason, for the present generation."""

        def found() -> str | None:
            condition = stack.condition(self.get(), kind)
            return condition["message"] if condition.get("reason") == reason else None

        return wait_for(f"{kind} to be {reason}", found, lambda: self.get().get("status"))

    def wait_settled(self) -> None:
        """Every pod is of the newest revision, answers, and none is left over."""

        def found() -> bool:
            resource = self.get()
            ready, progressing = (
                stack.condition(resource, kind) for kind in ("Ready", "Progressing")
            )
            if (ready.get("status"), progressing.get("status")) != ("True", "False"):
                return False
            return len(self.items("pods")) == resource["spec"].get("replicas", 1)

        told = lambda: self.get().get("status")  # noqa: E731
        wait_for("every pod to be up to date", found, told, START_SECONDS)

    def config_of(self, pod: Manifest) -> str:
        """The configuration file that the pod's server was started with."""
        (name,) = (v["configMap"]["name"] for v in pod["spec"]["volumes"] if "configMap" in v)
        return self.kubectl("get", "configmap", name, "-o", "jsonpath={.data}")

    @property
    def url(self) -> str:
        return self.get()["status"]["url"]

    def ask(self, question: str) -> str:
        """The answer, streamed to a pod of the cluster through the Service."""
        return client.run(
            self.cluster, self.namespace, _ASK, self.url, question, timeout=120
        ).strip()

    @contextmanager
    def forwarded(self) -> Iterator[str]:
        """Its address on this machine, for programs that run here."""
        command = [str(tools.path("kubectl")), "-n", self.namespace, "port-forward"]
        forwarding = subprocess.Popen(
            [*command, f"svc/{self.name}", ":80"],
            env={**os.environ, **self.cluster.env()},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert forwarding.stdout
            said = forwarding.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+) ->", said)
            assert found, said
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            forwarding.kill()
            forwarding.wait()

    def seen_ending(
        self,
        pod: Manifest,
        streams: int,
        phases: Mapping[str, Callable[[], None]],
        seconds: int = 60,
    ) -> dict[str, Any]:
        """What ending.py sees of the pod; `phases` says what is done when one begins.

        seconds: of each stream, roughly; a machine that becomes less busy needs fewer.
        """
        address = f"http://{pod['status']['podIP']}:8000/v1"
        arguments = (_ENDING, address, self.name, str(streams), str(seconds))
        with client.popen(
            self.cluster, self.namespace, *arguments, stdout=subprocess.PIPE
        ) as program:
            try:
                assert program.stdout
                for line in program.stdout:
                    if line.startswith("{"):
                        return json.loads(line)
                    phases.get(line.strip(), lambda: None)()
            finally:
                program.kill()
        raise AssertionError(f"the program ended without a word\n{self.story(pod)}")

    def story(self, pod: Manifest) -> str:
        """The pod's state now, and what its server said beside requests: for a failed test."""
        name = pod["metadata"]["name"]
        status = self.kubectl("get", "pod", name, "-o", "jsonpath={.status.containerStatuses}")
        lines = self.kubectl("logs", name, "--tail=500").splitlines()
        rest = [line[:500] for line in lines if "llmservice.access" not in line]
        return "\n".join([status, *rest[-40:]])

    @contextmanager
    def load(self, *kinds: str) -> Iterator["Load"]:
        """Clients of these kinds, see load.py, each with its first answer; gone with the block."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        program = client.popen(
            self.cluster, self.namespace, _LOAD, self.url, self.name, *kinds, **pipes
        )
        try:
            assert program.stdout
            assert program.stdout.readline() == "working\n"
            yield Load(program)
        finally:
            program.kill()


@dataclass(frozen=True)
class Load:
    """Clients at work on the service until stopped."""

    program: subprocess.Popen[str]

    def stop(self) -> dict[str, Any]:
        """What they did, see load.py, after the requests in flight have ended."""
        out, err = self.program.communicate(input="", timeout=180)
        assert self.program.returncode == 0, err
        return json.loads(out)


def wait_for(
    what: str,
    probe: Callable[[], _T | None],
    explain: Callable[[], object] = lambda: "",
    timeout: float = _SEEN_SECONDS,
) -> _T:
    """What `probe` returns once it is true; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    pause = 0.1
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:.0f} s for {what}; now: {explain()}")
        time.sleep(pause)
        pause = min(pause * 1.5, 2)  # a kubectl costs a fifth of a second of a core
    return found
