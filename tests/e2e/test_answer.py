"""The main job: a resource becomes a model that answers."""

import re
from datetime import datetime
from pathlib import Path

import pytest

from dev import client
from tests.e2e.service import Service


def test_the_right_answer_streams_through_the_service_from_another_pod(service: Service) -> None:
    answer = service.ask("What is the capital of France?")

    assert "Paris" in answer
    figures = re.search(
        r"\((\d+) pieces, the first after (\S+) s, the last after (\S+) s\)", answer
    )
    assert figures, answer
    pieces, first, last = map(float, figures.groups())
    assert pieces > 3
    assert first < last  # a buffered answer comes all at once


def test_ready_is_true_within_two_seconds_of_the_pods_first_answer(service: Service) -> None:
    (pod,) = service.items("pods")
    # timestamps have whole seconds, so a difference of 2 may be one of 2.9
    seconds = _since("Ready", service.get()) - _since("Ready", pod)

    assert seconds <= 2


@pytest.mark.parametrize("kind", ["stream", "whole"])
def test_a_client_that_leaves_stops_its_generation_within_a_second(
    service: Service, kind: str
) -> None:
    program = Path(__file__).with_name("leave.py")
    arguments = (service.url, service.name, kind)
    told = client.run(service.cluster, service.namespace, program, *arguments, timeout=60)

    assert float(told) < 1


def test_the_printed_columns_tell_what_serves_where(service: Service) -> None:
    header, row = service.kubectl("get", "llm", "-o", "wide").splitlines()

    assert header.split()[0] == "NAME"
    assert "True" in row
    assert service.url in row


def _since(kind: str, resource: dict) -> float:
    (condition,) = (c for c in resource["status"]["conditions"] if c["type"] == kind)
    return datetime.fromisoformat(condition["lastTransitionTime"]).timestamp()
