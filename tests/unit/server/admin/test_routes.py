"""/admin/v1 over the whole gateway, with a key of an administrator and without."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from llmservice_server.admin.issue import Issue
from llmservice_server.config import AuthConfig, DatabaseConfig, Place, Plan
from llmservice_server.store.store import Store
from llmservice_server.store.usage import Amount, Batch, Owner, Total
from llmservice_server.store.usage import Place as UsedAt

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


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
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
        ("GET", "/nothing", None, 404, ""),
    ],
)
async def test_a_wrong_request_is_told_what_to_write_instead(
    admin: Admin, method: str, path: str, body: Any, status: int, told: str
) -> None:
    answered, error = await admin(method, path, body)
    assert answered == status
    assert told in error["error"]["message"]
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
    assert len(ours) == 9
    for path, ways in ours.items():
        for method, way in ways.items():
            assert way["summary"], (method, path)
            assert {"400", "403", "404", "409", "503"} <= set(way["responses"])


async def test_without_a_database_there_is_no_such_route() -> None:
    async with running() as server:
        assert (await server.client.get("/admin/v1/users")).status_code == 404
