"""What `make demo` promises to somebody who has seen nothing of this before."""

import json
import os
import re
import shlex
import subprocess
from typing import Any

from tests.e2e.service import Service


def test_the_demo_ends_with_an_answer_and_the_resource(demo: str, service: Service) -> None:
    progress, _, rest = demo.partition("What is the capital of France?")

    assert re.search("0 of 1 pod answer yet: it is (starting|loading|compiling)", progress)
    assert "Serving: 1 of 1 pod answers" in progress
    assert "Paris" in rest
    assert service.kubectl("get", "llm").splitlines()[0] in rest


def test_vllms_processes_tell_what_they_do_while_they_load(service: Service) -> None:
    """The hooks into vLLM that a stand-in has in the unit tests are there in the real one."""
    said = {line["message"] for line in _log(service)}

    assert said >= {"loading: weights", "loading: warming-up"}
    assert not any("nobody answers while vLLM loads" in message for message in said)


def test_every_line_of_vllms_processes_is_one_of_the_log(service: Service) -> None:
    """Also of its native code, which knows no logger."""
    loggers = {line["logger"].partition(".")[0] for line in _log(service)}

    assert loggers >= {"llmservice", "stderr", "uvicorn", "vllm"}


def test_each_command_that_the_demo_suggests_works(demo: str, service: Service) -> None:
    suggested = [line.strip() for line in demo.splitlines() if line.startswith("  kubectl ")]
    assert len(suggested) == 3

    for command in suggested:
        harmless = ["--dry-run=server"] if " patch " in command else []
        subprocess.run(
            [*shlex.split(command), *harmless],
            env={**os.environ, **service.cluster.env()},
            stdout=subprocess.DEVNULL,
            timeout=60,
            check=True,
        )


def _log(service: Service) -> list[dict[str, Any]]:
    """Of the pod, every line of it."""
    return [
        json.loads(line) for line in service.kubectl("logs", f"deploy/{service.name}").splitlines()
    ]
