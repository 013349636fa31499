"""What `make demo` promises to somebody who has seen nothing of this before."""

import os
import shlex
import subprocess

from tests.e2e.service import Service


def test_the_demo_ends_with_an_answer_and_the_resource(demo: str, service: Service) -> None:
    progress, _, rest = demo.partition("What is the capital of France?")

    assert "Serving: 1 of 1 pod answers" in progress
    assert "Paris" in rest
    assert service.kubectl("get", "llm").splitlines()[0] in rest


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
