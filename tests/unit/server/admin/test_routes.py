"""/admin/v1 over the whole gateway, with a key of an administrator and without."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from llmservice_server.admin.issue import Issue
from llmservice_server.config import AuthConfig, DatabaseConfig, HistoryConfig, Place, Plan
from llmservice_server.gateway.history import Asked
from llmservice_server.store.store import Store
from llmservice_server.store.usage import Amount, Batch, Owner, Total
from llmservice_server.store.usage import Place as UsedAt
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.server.api.openai_engine import Running, running

_NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Admin:
    """An administrator's client."""

    server: Running
    store: Store
    key: str

    async def __call__(
        self, method: str, path: str, body: Any = None, key: str | None = None
    ) -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {key or self.key}"}
        answer = await self.server.client.request(
            method, f"/admin/v1{path}", json=body, headers=headers
        )
        return answer.status_code, answer.json() if answer.content else None


@pytest.fixture
async def admin(
    database_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Admin]:
    monkeypatch.setenv("PEPPER", "a-pepper-of-the-tests")
    auth = AuthConfig(stored=True, pepper=Place(variable="PEPPER"), plans=(Plan(name="own"),))
    async with running(auth=auth, database=database_config) as server:
        store = server.context.store
        assert store
        key = await Issue.of(store.keys, auth).bootstrap("root", "test")
        made = Admin(server, store, key.key)
        async with asyncio.timeout(30):  # a busy machine's store answers late, which is 503
            while (await made("GET", "/users"))[0] != 200:
                await asyncio.sleep(0.1)
        yield made


async def test_only_an_administrators_key_opens_it(admin: Admin) -> None:
    await admin("POST", "/users", {"name": "alice"})
    _, made = await admin("POST", "/keys", {"user": "alice"})
    assert (await admin.server.client.get("/admin/v1/users")).status_code == 401
    assert (await admin("GET", "/users", key="sk-" + "x" * 51))[0] == 401
    assert (await admin("GET", "/users", key=made["key"]))[0] == 403
    status, users = await admin("GET", "/users")
    assert (status, [user["name"] for user in users]) == (200, ["alice", "root"])


async def test_a_key_is_shown_once_and_opens_the_model_until_it_is_revoked(admin: Admin) -> None:
    await admin("POST", "/users", {"name": "alice", "plan": "own"})
    soon = (_NOW + timedelta(days=1)).isoformat()
    asked = {"user": "alice", "name": "laptop", "expires": soon, "models": ["small"]}
    status, made = await admin("POST", "/keys", asked)
    assert status == 201
    assert made["key"].startswith(f"sk-{made['prefix']}")
    shown = {name: value for name, value in made.items() if name != "key"}
    assert shown == (await admin("GET", f"/keys/{made['prefix']}"))[1]
    assert (shown["user"], shown["models"], shown["lastUsed"]) == ("alice", ["small"], None)
    assert datetime.fromisoformat(shown["expires"]) == datetime.fromisoformat(soon)
    _, listed = await admin("GET", "/keys?user=alice")
    assert listed == [shown]
    secret = made["key"][11:]
    for path in ("/keys", "/audit", "/users"):
        assert secret not in str(await admin("GET", path))

    async def ask() -> int:
        bearer = {"authorization": f"Bearer {made['key']}"}
        body = {"prompt": "Hello", "model": "small"}
        answer = await admin.server.client.post("/v1/completions", json=body, headers=bearer)
        return answer.status_code

    assert await ask() == 200
    status, revoked = await admin("DELETE", f"/keys/{made['prefix']}")
    assert status == 200
    assert revoked["revoked"]


async def test_users_and_plans_come_and_go(admin: Admin) -> None:
    plan = {"name": "small", "perKey": {"requestsPerMinute": 6}}
    status, put = await admin("PUT", "/plans/small", plan)
    assert (status, put["configured"], put["plan"]["perKey"]["requestsPerMinute"]) == (
        200,
        False,
        6,
    )
    assert await admin("GET", "/plans/small") == (200, put)
    _, plans = await admin("GET", "/plans")
    assert [(known["plan"]["name"], known["configured"]) for known in plans] == [
        ("anonymous", True),
        ("default", True),
        ("own", True),
        ("small", False),
    ]
    assert (await admin("POST", "/users", {"name": "a@b.c", "plan": "small"}))[0] == 201
    assert (await admin("GET", "/users/a@b.c"))[1]["plan"] == "small"
    assert (await admin("DELETE", "/plans/small"))[0] == 409
    assert (await admin("PATCH", "/users/a@b.c", {"plan": None}))[1]["plan"] is None
    assert await admin("DELETE", "/plans/small") == (204, None)
    assert await admin("DELETE", "/users/a@b.c") == (204, None)
    assert (await admin("GET", "/users/a@b.c"))[0] == 404


_WRONG: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/users", {"name": "a/b"}, 400, "name: string should match pattern"),
    ("POST", "/users", {"name": "a" * 256}, 400, "name: string should have at most 255"),
    ("POST", "/users", {"name": "bob", "mood": "x"}, 400, "mood: extra inputs are not"),
    ("POST", "/users", {"name": "root"}, 409, "user root: is there already; choose another"),
    ("POST", "/users", {"name": "bob", "plan": "gold"}, 404, "plan gold: there is none"),
    ("PATCH", "/users/root", {}, 400, "plan: is missing; send it"),
    ("PATCH", "/users/bob", {"plan": None}, 404, "user bob: there is none"),
    ("PUT", "/plans/own", {"name": "own"}, 409, "plan own: is the configuration's"),
    ("PUT", "/plans/a", {"name": "b"}, 400, "name: is b, and in the address a; write the same"),
    ("PUT", "/plans/a", {"name": "a", "weight": 0}, 400, "weight: input should be greater"),
    ("POST", "/keys", {"user": "bob"}, 404, "user bob: there is none; add it first"),
    ("POST", "/keys", {"user": "root", "expires": "soon"}, 400, "expires: "),
    ("POST", "/keys", {"user": "root", "expires": "2020-01-01T00:00:00Z"}, 400, "time to come"),
    ("POST", "/keys", {"user": "root", "expires": "2030-01-01T00:00:00"}, 400, "timezone"),
    ("POST", "/keys", {"user": "root", "routes": ["/v2/x"]}, 400, "routes.0: write one of /"),
    ("GET", "/keys?limit=0", None, 400, "limit: input should be greater than or equal to 1"),
    ("DELETE", "/keys/abcdefgh", None, 404, "key abcdefgh: there is none"),
    ("GET", "/usage?by=mood", None, 400, "by.0: input should be 'day', 'user', 'key' or"),
    ("GET", "/usage?first=x", None, 400, "first: "),
    ("GET", "/months?month=2026-13", None, 400, "month: string should match pattern"),
    ("GET", "/history?mood=x", None, 400, "mood: extra inputs are not"),
    ("GET", "/history?since=soon", None, 400, "since: "),
    ("GET", "/history?since=2026-01-01T00:00:00", None, 400, "timezone"),
    ("GET", "/history?limit=1001", None, 400, "limit: input should be less than or equal to"),
    ("GET", "/history/0", None, 404, "request 0: there is none; list them, and write a number"),
    ("GET", "/history/x", None, 400, "number: "),
    ("GET", "/nothing", None, 404, ""),
]


async def test_a_wrong_request_is_told_what_to_write_instead(admin: Admin) -> None:
    for method, path, body, status, told in _WRONG:
        answered, error = await admin(method, path, body)
        assert answered == status, (method, path, error)
        assert told in error["error"]["message"], (method, path)
    trail = await admin.store.audit.entries(100)
    assert [entry.actor for entry in trail] == ["test", "test"]  # bootstrap's alone


async def test_usage_is_told_by_what_is_asked_for(admin: Admin) -> None:
    today = _NOW.date()
    place = UsedAt(today, "alice", "k1", "small")
    used = {place: Amount(2, 10, 20, 1_500_000), place._replace(user="bob"): Amount(1, 1, 1, 0)}
    month = today.strftime("%Y-%m")
    await admin.store.usage.add("r", Batch(1, used, {Owner("alice", month): Total(2, 30)}))
    _, rows = await admin("GET", "/usage?by=user&by=model")
    assert rows[0] == {
        "day": None,
        "user": "alice",
        "key": None,
        "model": "small",
        "requests": 2,
        "inputTokens": 10,
        "outputTokens": 20,
        "cost": 0.0015,
    }
    assert len(rows) == 2
    _, one = await admin("GET", "/usage?user=bob")
    assert [row["requests"] for row in one] == [1]
    long_ago = date(2020, 1, 1)
    _, none = await admin("GET", f"/usage?first={long_ago}&last={long_ago}&by=day")
    assert none == []
    _, months = await admin("GET", "/months")
    assert months == [{"user": "alice", "month": month, "requests": 2, "tokens": 30}]


async def test_prometheus_is_told_of_two_months_by_user_and_model(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmservice_server.admin.metrics._USERS", 2)
    today = _NOW.date()
    last = today.replace(day=1) - timedelta(days=1)
    long_ago = today - timedelta(days=100)
    place = UsedAt(today, "alice", "k1", "small")
    used = {
        place: Amount(2, 10, 20, 1_500_000),
        place._replace(key="k2"): Amount(1, 10, 20, 500_000),
        place._replace(user="bob", model='odd"\n'): Amount(1, 5, 5, 0),
        place._replace(user="carl"): Amount(1, 1, 1, 0),
        place._replace(user="dora"): Amount(1, 1, 2, 7_000_000),
        place._replace(day=last): Amount(4, 1, 1, 0),
        place._replace(day=long_ago): Amount(9, 9, 9, 9),
    }
    await admin.store.usage.add("r", Batch(1, used))
    headers = {"authorization": f"Bearer {admin.key}"}
    scraped = await admin.server.client.get("/admin/v1/metrics", headers=headers)
    assert scraped.headers["content-type"].startswith("text/plain")
    families = {one.name: one for one in text_string_to_metric_families(scraped.text)}
    told = {
        name: {
            (s.labels["month"], s.labels["user"], s.labels["model"]): s.value
            for s in family.samples
        }
        for name, family in families.items()
    }
    now, before = f"{today:%Y-%m}", f"{last:%Y-%m}"
    assert told["llmservice_month_requests"] == {
        (now, "alice", "small"): 3,
        (now, "bob", 'odd"\n'): 1,
        (now, "other", "small"): 2,
        (before, "alice", "small"): 4,
    }
    assert told["llmservice_month_cost"][now, "alice", "small"] == 0.002
    assert told["llmservice_month_cost"][now, "other", "small"] == 0.007
    assert told["llmservice_month_input_tokens"][now, "alice", "small"] == 20
    assert told["llmservice_month_output_tokens"][now, "other", "small"] == 3
    assert (await admin.server.client.get("/admin/v1/metrics")).status_code == 401


async def test_a_key_that_is_shown_once_is_in_no_history(
    database_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEPPER", "a-pepper-of-the-tests")
    plans = (Plan(name="default", keep_bodies=True),)
    auth = AuthConfig(stored=True, pepper=Place(variable="PEPPER"), plans=plans)
    parts = {"auth": auth, "database": database_config, "history": HistoryConfig()}
    async with running(**parts) as server:
        store = server.context.store
        assert store
        root = await Issue.of(store.keys, auth).bootstrap("root", "test")
        headers = {"authorization": f"Bearer {root.key}"}
        made = await server.client.post("/admin/v1/keys", json={"user": "root"}, headers=headers)
        body = {"prompt": "hello"}
        await server.client.post("/v1/completions", json=body, headers=headers)  # the control
        async with asyncio.timeout(60):
            while len(found := await store.history.requests(10)) < 2:
                await asyncio.sleep(0.1)
        completion, key = [await store.history.request(one.number) for one in found]
    assert made.status_code == 201
    assert (key.route, key.asked, key.answered) == ("/admin/v1", None, None)
    assert json.loads(completion.asked or "") == body
    assert completion.answered


async def test_requests_are_read_and_a_user_forgotten(admin: Admin) -> None:
    asked = Asked(
        at=_NOW.timestamp(),
        request_id="r1",
        user="alice",
        key="k1",
        model="small",
        route="/v1/completions",
        status=200,
        error=None,
        streaming=True,
        answered_by=None,
        input_tokens=1,
        output_tokens=2,
        first_token_seconds=0.25,
        seconds=0.5,
        asked=b"a question",
        answered=b"an answer",
    )
    history, conversations = admin.store.history, admin.store.conversations
    later = asked._replace(at=asked.at + 60, request_id="r2", user="oidc:bob", asked=None)
    await history.add([asked, later], "pod-1")
    for owner in ("user:alice", "user:oidc:bob"):
        await conversations.begin(owner, [{"role": "user", "content": "hello"}])
    status, listed = await admin("GET", "/history")
    assert (status, [one["requestId"] for one in listed]) == (200, ["r2", "r1"])
    number = listed[1].pop("number")
    assert listed[1] == {
        "at": _NOW.isoformat().replace("+00:00", "Z"),
        "requestId": "r1",
        "user": "alice",
        "key": "k1",
        "model": "small",
        "route": "/v1/completions",
        "status": 200,
        "error": None,
        "streaming": True,
        "answeredBy": None,
        "inputTokens": 1,
        "outputTokens": 2,
        "firstTokenSeconds": 0.25,
        "seconds": 0.5,
        "replica": "pod-1",
    }
    _, whole = await admin("GET", f"/history/{number}")
    assert (whole["asked"], whole["answered"]) == ("a question", "an answer")
    since = (_NOW + timedelta(seconds=30)).isoformat().replace("+00:00", "Z")
    for query, found in (
        ("user=alice", ["r1"]),
        ("key=k1&model=small", ["r2", "r1"]),
        ("model=large", []),
        (f"since={since}", ["r2"]),
        (f"until={since}", ["r1"]),
        (f"before={listed[0]['number']}&limit=5", ["r1"]),
        ("limit=1", ["r2"]),
        ("user=%00", []),
    ):
        _, some = await admin("GET", f"/history?{query}")
        assert [one["requestId"] for one in some] == found, query
    assert await admin("DELETE", "/users/oidc:bob/history") == (204, None)
    _, left = await admin("GET", "/history")
    assert [one["requestId"] for one in left] == ["r1"]
    assert await conversations.conversations("user:oidc:bob", 10) == ()
    assert len(await conversations.conversations("user:alice", 10)) == 1  # the control
    _, (entry,) = await admin("GET", "/audit?limit=1")
    assert (entry["action"], entry["subject"]) == ("user.forget", "oidc:bob")


async def test_the_trail_names_the_key_that_did_it(admin: Admin) -> None:
    await admin("POST", "/users", {"name": "alice"})
    _, trail = await admin("GET", "/audit?limit=1")
    (entry,) = trail
    assert entry["actor"] == f"key {admin.key[3:11]}"
    assert (entry["action"], entry["subject"], entry["before"]) == ("user.add", "alice", None)
    assert entry["after"]["name"] == "alice"
    _, older = await admin("GET", f"/audit?before={entry['number']}")
    assert [was["action"] for was in older] == ["key.add", "user.add"]


async def test_every_route_is_documented(admin: Admin) -> None:
    document = (await admin.server.client.get("/openapi.json")).json()
    ours = {path: ways for path, ways in document["paths"].items() if path.startswith("/admin/v1/")}
    assert len(ours) == 13
    for path, ways in ours.items():
        for method, way in ways.items():
            assert way["summary"], (method, path)
            assert {"400", "403", "404", "409", "503"} <= set(way["responses"])


async def test_without_a_database_there_is_no_such_route() -> None:
    async with running() as server:
        assert (await server.client.get("/admin/v1/users")).status_code == 404
