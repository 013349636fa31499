"""Keys of a database: what is remembered of them, and for how long where it does not answer."""

import asyncio
import logging
import time
from types import SimpleNamespace

import pytest
from llmservice_server.gateway.asgi import App
from llmservice_server.gateway.caller import Scopes
from llmservice_server.gateway.identity import callers, keys, stored

from tests.unit.server.identity.door import PEPPER, ask, door, opened
from tests.unit.server.identity.key_store import Store

_AUTH = {"stored": True, "pepper": {"variable": "PEPPER"}}


class _Clock:
    """Runs on by itself, and by leaps."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def time(self) -> float:
        return time.time() + self.ahead


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    made = _Clock()
    monkeypatch.setenv("PEPPER", PEPPER)
    monkeypatch.setattr(stored, "POLL", 0.02)
    monkeypatch.setattr(stored, "_PATIENCE", 0.1)
    for module in (stored, callers):
        times = SimpleNamespace(time=made.time, monotonic=made.monotonic)
        monkeypatch.setattr(module, "time", times)
    return made


async def _until(app: App, key: str, status: int) -> None:
    async with asyncio.timeout(5):
        while (await ask(app, key)).status != status:
            await asyncio.sleep(0.01)


async def test_a_key_is_asked_for_once_and_found_with_all_that_it_is() -> None:
    store = Store()
    key = store.add(admin=True)
    async with opened(door(_AUTH, store)) as app:
        for _ in range(20):
            told = await ask(app, key)
            assert told.status == 200
        assert told.error == {
            "address": "192.0.2.1",
            "plan": "paid",
            "key": "k1",
            "user": "ada",
            "admin": True,
        }
    assert store.questions <= 2  # the first version may come after the first request
    assert abs(store.told["k1"] - time.time()) < 60


async def test_many_first_requests_with_one_key_are_one_question() -> None:
    store = Store()
    key = store.add()
    async with opened(door(_AUTH, store)) as app:
        await _until(app, key, 200)
        store.change(key, user="eva")
        await asyncio.sleep(0.1)
        before = store.questions
        told = await asyncio.gather(*(ask(app, key) for _ in range(50)))
        assert {one.error["user"] for one in told} == {"eva"}
        assert store.questions == before + 1


async def test_a_key_that_nobody_has_is_refused_and_asked_for_once() -> None:
    store = Store()
    mine = store.add()
    foreign = keys.new_key()
    async with opened(door(_AUTH, store)) as app:
        await _until(app, mine, 200)
        before = store.questions
        for _ in range(5):
            refused = await ask(app, foreign)
            assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")
            assert refused.headers["www-authenticate"] == "Bearer"
        assert store.questions == before + 1
        for wrong in ("sk-", "sk-" + "a" * 10_000, "'; DROP TABLE keys; --", mine + " x"):
            assert (await ask(app, wrong, address="192.0.2.9")).status == 401
        assert store.questions == before + 1


async def test_the_right_prefix_with_another_secret_is_refused() -> None:
    store = Store()
    key = store.add()
    forged = key[:-4] + ("AAAA" if key[-4:] != "AAAA" else "BBBB")
    async with opened(door(_AUTH, store)) as app:
        assert (await ask(app, forged)).status == 401
        assert (await ask(app, key)).status == 200


async def test_a_revoked_key_is_refused_everywhere_soon_and_a_new_one_at_once() -> None:
    assert stored.POLL + 2 * stored._PATIENCE < 5  # noqa: SLF001
    store = Store()
    key = store.add()
    async with opened(door(_AUTH, store)) as one, opened(door(_AUTH, store)) as other:
        for app in (one, other):
            await _until(app, key, 200)
        store.change(key, revoked=True)
        for app in (one, other):
            await _until(app, key, 401)
        assert "revoked" in (await ask(one, key)).error["message"]
        assert (await ask(one, store.add("k2"))).status == 200


async def test_an_expired_key_is_refused_also_while_it_is_remembered(clock: _Clock) -> None:
    store = Store()
    key = store.add(expires=time.time() + 100)
    async with opened(door(_AUTH, store)) as app:
        await _until(app, key, 200)
        assert (await ask(app, key)).status == 200
        clock.ahead = 101
        refused = await ask(app, key)
        assert refused.status == 401
        assert "expired" in refused.error["message"]


@pytest.mark.parametrize("how", ["down", "stalled"])
async def test_without_the_store_known_keys_are_good_for_a_while_and_unknown_ones_are_503(
    clock: _Clock, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    caplog.set_level(logging.INFO, "llmservice.identity")
    store = Store()
    key, unseen = store.add(), store.add("k2")
    async with opened(door(_AUTH, store)) as app:
        await _until(app, key, 200)
        setattr(store, how, True)
        refused = await ask(app, unseen)
        assert (refused.status, refused.error["code"]) == (503, "service_unavailable")
        assert "retry-after" in refused.headers
        assert (await ask(app, key)).status == 200
        clock.ahead = 590
        assert (await ask(app, key)).status == 200
        clock.ahead = 610
        assert (await ask(app, key)).status == 503
        setattr(store, how, False)
        await _until(app, key, 200)
        await _until(app, unseen, 200)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "does not answer" in said[0]
    assert said[1].endswith("answers again")
    assert "secret" not in "".join(said)


async def test_a_key_that_changed_just_before_the_store_went_is_good_as_it_was_known() -> None:
    store = Store()
    key = store.add()
    async with opened(door(_AUTH, store)) as app:
        await _until(app, key, 200)
        store.change(key, user="eva")
        await asyncio.sleep(0.1)
        store.down = True
        assert (await ask(app, key)).error["user"] == "ada"
        store.down = False
        async with asyncio.timeout(5):
            while (await ask(app, key)).error["user"] != "eva":
                await asyncio.sleep(0.01)


async def test_uses_that_could_not_be_told_are_told_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_TOLD", 0.0)
    store = Store()
    key = store.add()
    async with opened(door(_AUTH, store)) as app:
        await _until(app, key, 200)
        store.told.clear()
        store.down = True
        await ask(app, key)
        await asyncio.sleep(0.1)
        assert not store.told
        store.down = False
        async with asyncio.timeout(5):
            while not store.told:
                await asyncio.sleep(0.01)


async def test_a_store_that_takes_no_uses_is_asked_for_keys_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stored, "_TOLD", 0.0)
    store = Store()
    key = store.add()
    async with opened(door(_AUTH, store)) as app:
        await _until(app, key, 200)
        store.full = True
        for number in range(10):
            assert (await ask(app, key)).status == 200
            assert (await ask(app, store.add(f"new{number}"))).status == 200
            await asyncio.sleep(0.02)
        store.told.clear()
        store.full = False
        async with asyncio.timeout(5):
            while "k1" not in store.told:
                await asyncio.sleep(0.01)


async def test_a_key_opens_the_routes_that_it_is_made_for() -> None:
    store = Store()
    key = store.add(scopes=Scopes(routes=frozenset({"/v1/embeddings", "/v1/models/{id}"})))
    async with opened(door(_AUTH, store)) as app:
        assert (await ask(app, key, path="/v1/embeddings")).status == 200
        assert (await ask(app, key, path="/v1/models/m", method="GET")).status == 200
        refused = await ask(app, key, path="/v1/completions")
        assert (refused.status, refused.error["code"]) == (403, "permission_error")
        assert (await ask(app, key, path="/livez", method="GET")).status == 200
