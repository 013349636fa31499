"""Who is let in, and what the others are told."""

import logging
from pathlib import Path

import pytest
from llmservice_server.config import ConfigError

from tests.unit.server.identity.door import ask, door
from tests.unit.server.identity.key_store import Store

_KEY = "a-static-key-of-the-tests"
_AUTH = {"keys": {"variable": "API_KEY"}}
_CLOSED = [{"type": "websocket.close", "code": 4401}]


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", _KEY)


async def test_one_key_opens_what_keys_open_and_nothing_more() -> None:
    app = door(_AUTH)
    told = await ask(app, _KEY)
    assert told.status == 200
    assert told.error == {
        "address": "192.0.2.1",
        "plan": "default",
        "key": "static:default",
        "user": "static:default",
        "admin": False,
    }
    for path in ("/sleep", "/admin/v1/users", "/v1/brand/new", "/v1/load_lora_adapter"):
        refused = await ask(app, _KEY, path=path)
        assert (refused.status, refused.error["code"]) == (403, "permission_error")
        assert (await ask(app, path=path)).status == 401


async def test_each_name_in_a_file_is_a_user(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# of the two\nada: first-key-1\n\neva:  second-key-2\neva: second-key-3\n")
    app = door({"keys": {"file": str(file)}, "plans": [{"name": "free"}], "defaultPlan": "free"})
    for key, user in (("first-key-1", "ada"), ("second-key-2", "eva"), ("second-key-3", "eva")):
        told = (await ask(app, key)).error
        assert (told["user"], told["plan"]) == (f"static:{user}", "free")
    assert (await ask(app, "ada")).status == 401


async def test_without_a_key_only_what_is_public_is_answered() -> None:
    app = door(_AUTH)
    for path in ("/livez", "/readyz", "/health", "/status", "/metrics", "/docs", "/openapi.json"):
        told = await ask(app, method="GET", path=path)
        assert (told.status, told.error) == (200, None)
    refused = await ask(app)
    assert (refused.status, refused.error["type"]) == (401, "invalid_api_key")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert (await ask(app, kind="websocket", path="/v1/realtime")).sent == _CLOSED


async def test_off_everything_is_open_and_nobody_is_noted() -> None:
    told = await ask(door({}), path="/sleep")
    assert (told.status, told.error) == (200, None)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"bearer {_KEY}"},
        {"authorization": f"BEARER   {_KEY} "},
        {"x-api-key": _KEY},
        {"x-api-key": _KEY, "authorization": f"Bearer {_KEY}"},
    ],
)
async def test_a_key_is_shown_as_openais_and_anthropics_clients_do(headers: dict[str, str]) -> None:
    assert (await ask(door(_AUTH), headers=headers)).status == 200
    told = await ask(door(_AUTH), headers=headers, kind="websocket", path="/v1/realtime")
    assert told.sent == [{"type": "websocket.accept"}]


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"authorization": "Basic YTpi"}, "Basic"),
        ({"authorization": _KEY}, "not understood"),
        ({"authorization": f"Digest {_KEY}"}, "not understood"),
        ({"authorization": ""}, "not understood"),
        ({"authorization": "Bearer"}, "empty"),
        ({"authorization": "Bearer  "}, "empty"),
        ({"x-api-key": ""}, "empty"),
        ({"x-api-key": "another-key", "authorization": f"Bearer {_KEY}"}, "two different"),
        ({"authorization": f"Bearer {_KEY}, Bearer {_KEY}"}, "none of ours"),
        ({"authorization": f"Bearer {_KEY}\x00"}, "none of ours"),
        ({"authorization": f"Bearer {_KEY[:-1]}"}, "none of ours"),
        ({"authorization": f"Bearer {_KEY}x"}, "none of ours"),
        ({"authorization": f"Bearer {_KEY.upper()}"}, "none of ours"),
        ({"authorization": "Bearer é" + "ÿ" * 50}, "none of ours"),
        ({"authorization": "Bearer " + "x" * 60_000}, "longer"),
        ({"authorization": "Bearer a.b.c"}, "none of ours"),
        ({"authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}, "none of ours"),
    ],
)
async def test_what_is_no_key_is_refused_with_a_reason_that_does_not_repeat_it(
    headers: dict[str, str], says: str
) -> None:
    refused = await ask(door(_AUTH), headers=headers)
    assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")
    assert says in refused.error["message"]
    assert _KEY not in str(refused.sent)
    assert "xxxx" not in str(refused.sent)


async def test_two_authorization_headers_are_no_way_around() -> None:
    exchange_headers = {"authorization": "Bearer wrong-key"}
    app = door(_AUTH)

    async def both(scope: object, *rest: object) -> None:
        scope["headers"].append((b"authorization", f"Bearer {_KEY}".encode()))  # type: ignore[index]
        await app(scope, *rest)  # type: ignore[arg-type]

    refused = await ask(both, headers=exchange_headers)  # type: ignore[arg-type]
    assert (refused.status, "two different" in refused.error["message"]) == (401, True)


async def test_anonymous_callers_are_served_where_they_may_be_and_told_by_address() -> None:
    plans = [{"name": "anonymous", "weight": 2}]
    app = door({**_AUTH, "anonymous": True, "plans": plans, "trustedProxies": ["192.0.2.0/24"]})
    told = await ask(app, headers={"x-forwarded-for": "203.0.113.5"})
    assert told.status == 200
    assert (told.error["address"], told.error["plan"]) == ("203.0.113.5", "anonymous")
    assert (told.error["key"], told.error["user"]) == (None, None)
    assert (await ask(app, "a-wrong-key")).status == 401  # never less than what was shown
    for path in ("/sleep", "/v1/brand/new"):
        assert (await ask(app, path=path)).status == 401


async def test_an_address_with_ten_wrong_keys_is_locked_out_but_not_its_good_keys() -> None:
    app = door(_AUTH)
    assert (await ask(app, _KEY)).status == 200
    for number in range(10):
        assert (await ask(app, f"wrong-{number}")).status == 401
    locked = await ask(app, "wrong-again")
    assert (locked.status, locked.error["code"]) == (429, "rate_limit_exceeded")
    assert 0 < int(locked.headers["retry-after"]) <= 60
    assert (await ask(app, _KEY)).status == 200  # it was good from there before
    assert (await ask(app, _KEY, address="192.0.2.2")).status == 200
    for number in range(10):
        await ask(app, f"wrong-{number}", address="192.0.2.3")
    assert (await ask(app, _KEY, address="192.0.2.3")).status == 429  # perhaps a guess
    assert (await ask(app, address="192.0.2.3")).status == 401  # none was shown


async def test_a_forwarded_address_that_nobody_trusts_does_not_get_around_the_lock() -> None:
    app = door(_AUTH)
    for number in range(10):
        await ask(app, f"wrong-{number}", headers={"x-forwarded-for": f"203.0.113.{number}"})
    assert (await ask(app, "w", headers={"x-forwarded-for": "198.51.100.1"})).status == 429


async def test_who_has_half_of_an_ipv6_address_has_one_lock() -> None:
    app = door(_AUTH)
    for number in range(10):
        await ask(app, f"wrong-{number}", address=f"2001:db8::{number}")
    assert (await ask(app, "wrong", address="2001:db8::ffff")).status == 429
    assert (await ask(app, "wrong", address="2001:db8:0:1::1")).status == 401


async def test_stored_keys_without_a_database_end_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PEPPER", "p")
    auth = {"stored": True, "pepper": {"variable": "PEPPER"}}
    with pytest.raises(ConfigError, match=r"auth\.stored"):
        door(auth)
    door(auth, Store())


async def test_no_key_is_in_any_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    app = door(_AUTH)
    for key in (_KEY, "a-wrong-secret-key", "Bearer a-wrong-secret-key", "sk-" + "s" * 51):
        await ask(app, key)
    assert _KEY not in caplog.text
    assert "secret" not in caplog.text
