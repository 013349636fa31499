"""What a server that loads says of itself: who is asked, when, and what is believed of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from llmservice_operator import loading as inquiring
from llmservice_operator import records
from llmservice_operator.loading import FIRST, LONGEST, PAUSE, Inquiry
from llmservice_operator.observed import Observed
from llmservice_operator.records import Key, Loading
from llmservice_operator.records.loading import PHASES
from llmservice_operator.store import Store
from llmservice_server import loading as server

from tests.unit.controller.objects import pod, resource

_X = Key("ns", "x")
_SINCE = "2026-05-01T00:00:00Z"
_SAID = {"status": "loading", "phase": "weights", "since": _SINCE, "seconds": 9.1, "progress": 74}
_TOLD = Loading("Weights", _SINCE, 50)


def _said(**changed: Any) -> bytes:
    told = _SAID | changed
    return json.dumps({name: value for name, value in told.items() if value is not None}).encode()


def test_progress_is_told_in_steps_of_a_quarter() -> None:
    steps = {p: records.loading(_said(progress=p)) for p in (0, 24, 25, 74, 99, 100)}
    assert {p: told and told.progress for p, told in steps.items()} == {
        0: 0,
        24: 0,
        25: 25,
        74: 50,
        99: 75,
        100: 100,
    }
    assert records.loading(_said(progress=None)) == Loading("Weights", _SINCE, None)


def test_every_phase_that_the_server_has_is_known_and_has_words_of_its_own() -> None:
    loads = [phase.value for phase in server.Phase if phase is not server.Phase.READY]
    assert list(PHASES) == loads
    for phase in map(server.Phase, loads):
        said = json.dumps({"status": "loading", **server.Progress(phase, 0.0, 10).told()})
        told = records.loading(said.encode())
        assert told
        assert (told.phase, told.progress) == (PHASES[phase.value], 0)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xff",
        b"[" * 4000,
        b'"loading"',
        b'{"status": "ready"}',
        _said(phase="dancing"),
        _said(phase=["weights"]),
        _said(since=None),
        _said(since="yesterday"),
        _said(since="2026-13-41T00:00:00Z"),
        _said(since="2026-05-01T00:00:00Z<script>"),
        _said(progress=-1),
        _said(progress=101),
        _said(progress="50"),
        _said(progress=1e999),
        _said(progress=True),
    ],
)
def test_what_is_no_such_answer_is_not_told(said: bytes) -> None:
    assert records.loading(said) is None


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class _Servers:
    """What each address answers, and how often it was asked."""

    def __init__(self, **answers: bytes | None) -> None:
        self.answers, self.asked = answers, list[str]()

    async def __call__(self, address: str) -> bytes | None:
        self.asked.append(address)
        return self.answers.get(address)


def _loading_pod(
    name: str = "p", address: str = "a", *, ready: bool = False, **more: Any
) -> records.Pod:
    so = {"status": "True", "lastTransitionTime": _SINCE}
    conditions = [{"type": "PodScheduled", **so}, *([{"type": "Ready", **so}] if ready else [])]
    running = [{"state": {"running": {"startedAt": _SINCE}}}]
    told = {"created": _SINCE, "conditions": conditions, "containerStatuses": running}
    return pod(name, podIP=address, ready=ready, **{**told, **more})


class _World:
    """A resource, its pods, an operator that leads, and what became of it."""

    def __init__(self, *pods: records.Pod) -> None:
        self.store, self.clock, self.leads = Store(), _Clock(), True
        self.changed: list[Key] = []
        self.store.put(resource())
        for one in pods:
            self.store.put(one)
        self.inquiry = Inquiry(self.store, lambda: self.leads, self.changed.append, self.clock)

    def reconcile(self) -> Loading | None:
        known = self.store.resource(_X)
        assert known
        return self.inquiry.said(Observed(known, (), tuple(self.store.pods(_X))))

    async def look(self, servers: _Servers, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        await self.inquiry.look(servers)


async def test_a_pod_that_loads_is_asked_after_a_while_and_then_every_few_seconds() -> None:
    world, servers = _World(_loading_pod()), _Servers(a=_said())
    assert world.reconcile() is None
    await world.look(servers, FIRST - 1)
    assert servers.asked == []
    await world.look(servers, 1)
    assert servers.asked == ["a"]
    await world.look(servers, PAUSE - 1)
    assert servers.asked == ["a"]
    await world.look(servers, 1)
    assert servers.asked == ["a", "a"]


async def test_a_key_is_told_of_each_phase_and_step_once() -> None:
    world, servers = _World(_loading_pod()), _Servers(a=_said())
    world.reconcile()
    await world.look(servers, FIRST)
    assert (world.changed, world.reconcile()) == ([_X], _TOLD)
    for percent in (60, 74):  # of the same step
        servers.answers["a"] = _said(progress=percent)
        await world.look(servers, PAUSE)
    assert (world.changed, world.reconcile()) == ([_X], _TOLD)
    servers.answers["a"] = _said(progress=75)
    await world.look(servers, PAUSE)
    assert world.changed == [_X, _X]
    servers.answers["a"] = None  # busy: what it said last stands
    await world.look(servers, PAUSE)
    assert world.changed == [_X, _X]
    assert world.reconcile() == Loading("Weights", _SINCE, 75)


async def test_who_does_not_answer_is_asked_less_and_less_often_and_nothing_is_told() -> None:
    world, servers = _World(_loading_pod()), _Servers()
    world.reconcile()
    for _ in range(3600):
        await world.look(servers, 1)
    assert 3600 / LONGEST < len(servers.asked) < 5 * 3600 / LONGEST
    assert (world.changed, world.reconcile()) == ([], None)


@pytest.mark.parametrize(
    "quiet",
    [
        pod("p", podIP="a"),  # not scheduled, as far as is known
        _loading_pod(address=""),  # as on a fake node
        _loading_pod(containerStatuses=[]),
        _loading_pod(ready=True),
        _loading_pod(going=True),
        _loading_pod(phase="Failed"),
        _loading_pod(
            containerStatuses=[{"restartCount": 1, "state": {"running": {"startedAt": _SINCE}}}]
        ),
    ],
)
async def test_a_pod_that_does_not_load_is_not_asked(quiet: records.Pod) -> None:
    world, servers = _World(quiet), _Servers(a=_said())
    assert world.reconcile() is None
    await world.look(servers, FIRST)
    assert servers.asked == []


async def test_of_many_pods_the_one_that_the_status_tells_of_is_asked() -> None:
    later = "2026-05-01T00:00:01Z"
    world = _World(_loading_pod("p"), _loading_pod("q", "b", created=later))
    servers = _Servers(a=_said(), b=_said(progress=100))
    world.reconcile()
    await world.look(servers, FIRST)
    assert servers.asked == ["b"]


@pytest.mark.parametrize("gone", ["pod", "resource", "ready"])
async def test_who_loads_no_more_is_not_asked_any_more(gone: str) -> None:
    world, servers = _World(_loading_pod()), _Servers(a=_said())
    world.reconcile()
    if gone == "ready":
        world.store.put(_loading_pod(version=2, ready=True))
    else:
        world.store.remove(resource(2) if gone == "resource" else _loading_pod(version=2))
    await world.look(servers, FIRST)
    assert servers.asked == []


async def test_who_does_not_lead_does_not_ask() -> None:
    world, servers = _World(_loading_pod()), _Servers(a=_said())
    world.reconcile()
    world.leads = False
    await world.look(servers, FIRST)
    assert servers.asked == []
    world.leads = True
    await world.look(servers)
    assert servers.asked == ["a"]


async def test_few_are_asked_at_once() -> None:
    world, now, most = _World(), 0, 0
    for number in range(100):
        name = f"x{number}"
        world.store.put(resource(name=name))
        world.store.put(replace(_loading_pod(name), instance=name))

    async def slow(address: str) -> bytes | None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        return None

    for key in world.store.everyone():
        known = world.store.resource(key)
        assert known
        world.inquiry.said(Observed(known, (), tuple(world.store.pods(key))))
    world.clock.now += FIRST
    await world.inquiry.look(slow)
    assert 1 < most <= 20


@asynccontextmanager
async def _server(answer: bytes, *, ends: bool = True) -> AsyncIterator[str]:
    """An address of this machine where any request gets these bytes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if not ends:
            await asyncio.sleep(60)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as listening:
        yield str(listening.sockets[0].getsockname()[1])


def _http(body: bytes, *headers: str, status: str = "503 Service Unavailable") -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, "connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


async def _found(
    answer: bytes, monkeypatch: pytest.MonkeyPatch, *, ends: bool = True
) -> Loading | None:
    """What a running inquiry makes of it, over a real connection."""
    monkeypatch.setattr(inquiring, "FIRST", 0.0)
    monkeypatch.setattr(inquiring, "_TICK", 0.01)
    monkeypatch.setattr(inquiring, "PATIENCE", 0.3)
    async with _server(answer, ends=ends) as port:
        monkeypatch.setattr(inquiring, "PORT", int(port))
        world = _World(_loading_pod(address="127.0.0.1"))
        world.reconcile()
        running = asyncio.create_task(world.inquiry.run())
        await asyncio.sleep(0.6)
        assert not running.done()  # whatever it was told
        running.cancel()
        return world.reconcile()


async def test_the_answer_of_a_server_that_loads_is_a_503_and_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await _found(_http(_said()), monkeypatch) == _TOLD


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (b"", True),
        (b"\0" * 100, True),
        (_http(_said() + b" " * 10_000), True),  # more than is read
        (_http(b"", "location: http://127.0.0.1:1/", status="302 Found"), True),
        (_http(b"", "x: " + "y" * 100_000), True),
        (_http(_said(), "content-length: 1000"), False),  # and never the rest
    ],
)
async def test_other_answers_are_as_none(
    answer: bytes,
    ends: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await _found(answer, monkeypatch, ends=ends) is None
