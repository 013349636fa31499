"""What an engine that dies leaves behind."""

import json
from pathlib import Path
from typing import Any

from dev import client
from tests.e2e.service import Service, wait_for

_STREAMS = 32
_KILL = Path(__file__).with_name("kill_engine.py")


def test_a_dead_engine_turns_livez_red_within_five_seconds_and_its_server_ends_with_the_cause(
    service: Service,
) -> None:
    """Its streams are cut: a control of those of a server that is told to end."""
    (pod,) = service.items("pods")
    name = pod["metadata"]["name"]
    told: list[Any] = []

    def kill() -> None:
        said = client.run(service.cluster, service.namespace, _KILL, timeout=60, pod=name)
        told.extend(json.loads(said))

    seen = service.seen_ending(pod, _STREAMS, {"streaming": kill})

    seconds, reason = told
    assert seconds < 5
    assert "engine process died" in reason
    assert len(seen["streams"]) == _STREAMS
    assert "whole" not in seen["streams"]

    def ended() -> dict[str, Any] | None:
        pod = json.loads(service.kubectl("get", "pod", name, "-o", "json"))
        return pod["status"]["containerStatuses"][0]["lastState"].get("terminated")

    terminated = wait_for("the server to end", ended)
    assert terminated["exitCode"] == 1
    assert "vLLM stopped without being told to" in terminated["message"]
