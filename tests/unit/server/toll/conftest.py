"""Counters that are patient with a busy machine's Redis."""

import pytest
from llmservice_server.gateway.toll import redis as counters


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no Redis that stalls."""
    monkeypatch.setattr(counters, "SECONDS", 5.0)


@pytest.fixture
def hurried(_patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the server is."""
    monkeypatch.setattr(counters, "SECONDS", 0.1)
