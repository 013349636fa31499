"""Events that the API server takes, and no more of them than tell something."""

import asyncio
from typing import Any, cast

import pytest
from llmservice_operator import events as module
from llmservice_operator.api import Manifest
from llmservice_operator.client import ApiError
from llmservice_operator.events import EACH, SERIES, Recorder
from llmservice_operator.kinds import Kind

from tests.unit.controller.objects import resource

_CRASHED = {"type": "Degraded", "status": "True", "reason": "CrashLooping", "message": "m"}
_FINE = {"type": "Degraded", "status": "False", "reason": "AsExpected", "message": "m"}
_OLD = resource(status={"conditions": [_FINE]})


class _Server:
    def __init__(self) -> None:
        self.created: list[Manifest] = []
        self.counted: list[tuple[str, int]] = []
        self.refuses = False

    async def create(self, kind: Kind, obj: Manifest) -> Manifest:
        if self.refuses:
            raise ApiError(403, "Forbidden", "no")
        self.created.append(obj)
        return obj

    async def merge(self, kind: Kind, namespace: str, name: str, patch: Manifest) -> Manifest:
        assert list(patch) == ["series"]
        assert patch["series"]["lastObservedTime"].endswith("Z")
        self.counted.append((name, patch["series"]["count"]))
        return patch


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class _Told:
    """A recorder with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.server, self.clock = _Server(), _Clock()
        self.recorder = Recorder(cast("Any", self.server), "me", self.clock)

    async def after(self, seconds: float, *conditions: Manifest) -> float | None:
        self.clock.now += seconds
        self.recorder.announce(_OLD, conditions)
        return await self.recorder.send()


@pytest.mark.parametrize(
    ("words", "note"),
    [("x" * 2000, "x" * 1024), ("x" + "…" * 500, "x" + "…" * 341), ("short…", "short…")],
)
async def test_a_long_note_is_cut_to_the_bytes_that_the_server_takes(words: str, note: str) -> None:
    told = _Told()
    await told.after(0, {**_CRASHED, "message": words})
    assert [event["note"] for event in told.server.created] == [note]
    assert len(note.encode()) <= 1024


async def test_the_same_event_again_counts_the_first_one_up_now_and_then() -> None:
    told = _Told()
    await told.after(0, _CRASHED)
    for _ in range(100):
        await told.after(1, _CRASHED)
    await told.after(EACH, _FINE)

    assert [event["reason"] for event in told.server.created] == ["CrashLooping", "AsExpected"]
    name = told.server.created[0]["metadata"]["name"]
    assert told.server.counted == [(name, 61), (name, 101)]


async def test_an_event_that_comes_again_much_later_is_a_new_one() -> None:
    told = _Told()
    for _ in range(3):
        await told.after(SERIES, _CRASHED)
    names = {event["metadata"]["name"] for event in told.server.created}
    assert len(names) == 3
    assert told.server.counted == []


async def test_what_is_not_due_yet_says_when_it_is_and_nothing_is_told_twice() -> None:
    told = _Told()
    assert await told.after(0, _CRASHED) is None
    assert await told.after(EACH / 4, _CRASHED) == pytest.approx(EACH * 3 / 4)
    assert await told.after(EACH) is None
    assert await told.after(10 * EACH) is None
    assert [count for _, count in told.server.counted] == [2]


async def test_an_event_that_was_refused_is_made_anew_when_it_comes_again() -> None:
    told = _Told()
    told.server.refuses = True
    await told.after(0, _CRASHED)
    told.server.refuses = False
    await told.after(1, _CRASHED)
    assert len(told.server.created) == 1
    assert told.server.counted == []


async def test_one_that_comes_again_while_it_is_refused_ends_nothing() -> None:
    told = _Told()

    async def refused(_: Kind, __: Manifest) -> Manifest:
        told.recorder.announce(_OLD, [_CRASHED])
        raise ApiError(403, "Forbidden", "no")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(told.server, "create", refused)
        await told.after(0, _CRASHED)
    assert await told.after(EACH) is None
    await told.after(1, _CRASHED)
    assert len(told.server.created) == 1


async def test_of_a_flood_only_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 5)
    told = _Told()
    for number in range(20):
        told.recorder.announce(_OLD, [{**_CRASHED, "reason": f"{number}"}])
    await told.recorder.send()
    assert [event["reason"] for event in told.server.created] == [f"{n}" for n in range(15, 20)]
    kept = [value for value in vars(told.recorder).values() if isinstance(value, dict)]
    assert [len(value) for value in kept] == [5, 0]


async def test_it_sends_by_itself_and_goes_on_after_a_failure() -> None:
    server = _Server()
    recorder = Recorder(cast("Any", server), "me")
    running = asyncio.create_task(recorder.run())
    server.refuses = True
    recorder.announce(_OLD, [_CRASHED])
    await asyncio.sleep(0.01)
    server.refuses = False
    recorder.announce(_OLD, [_FINE])
    async with asyncio.timeout(1):
        while not server.created:
            await asyncio.sleep(0.01)
    assert not running.done()
    running.cancel()


async def test_one_trouble_is_one_event() -> None:
    told = _Told()
    ready = {"type": "Ready", "status": "False", "reason": "CrashLooping", "message": "0 of 1"}
    await told.after(0, ready, _CRASHED)
    await told.after(1, {**ready, "status": "True", "reason": "Serving"}, _FINE)
    assert [(event["reason"], event["note"]) for event in told.server.created] == [
        ("CrashLooping", "m"),
        ("Serving", "0 of 1"),
        ("AsExpected", "m"),
    ]
    assert told.server.counted == []
