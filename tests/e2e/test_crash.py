"""What an engine that dies leaves behind."""

import json
import subprocess
from pathlib import Path
from typing import Any

from dev import client
from tests.e2e.service import Manifest, Service, wait_for

_STREAMS = 32
_SIGNAL = Path(__file__).with_name("signal_engine.py")
_TURNS_RED = Path(__file__).with_name("turns_red.py")


def test_a_dead_engine_turns_livez_red_within_five_seconds_and_its_server_ends_with_the_cause(
    service: Service,
) -> None:
    """Its streams are cut: a control of those of a server that is told to end."""
    (pod,) = service.items("pods")
    name, restarts = pod["metadata"]["name"], _container(pod)["restartCount"]
    killed: list[float] = []
    red: dict[str, Any] = {}

    def kill() -> None:
        url = f"http://{pod['status']['podIP']}:8000"
        looking = (service.cluster, service.namespace, _TURNS_RED, url)
        with client.popen(*looking, stdout=subprocess.PIPE) as look:
            assert look.stdout
            assert look.stdout.readline() == "green\n"
            there = (service.cluster, service.namespace, _SIGNAL, "KILL")
            said = client.run(*there, timeout=60, pod=name)
            killed.append(float(said))
            red.update(json.loads(look.stdout.readline()))

    seen = service.seen_ending(pod, _STREAMS, {"streaming": kill})

    assert red["when"] - killed[0] < 5, red
    # vLLM looks every five seconds whether its engine lives: just then its server is gone at once.
    assert "engine process died" in red["reason"] or not red["reason"], red
    assert len(seen["streams"]) == _STREAMS
    assert "whole" not in seen["streams"], seen

    def ended() -> dict[str, Any] | None:
        now = _container(json.loads(service.kubectl("get", "pod", name, "-o", "json")))
        return now["lastState"]["terminated"] if now["restartCount"] > restarts else None

    terminated = wait_for("the server to end", ended)
    assert terminated["exitCode"] == 1, terminated
    assert "vLLM stopped without being told to" in terminated["message"]


def _container(pod: Manifest) -> dict[str, Any]:
    return pod["status"]["containerStatuses"][0]
