"""What holds for callers holds for one server with SQLite and its memory, and for three beside each
other with PostgreSQL and Redis, whichever of them is asked.
"""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from tests.cluster.gateway.callers import CHAT, SECONDS, Caller, Servers, chat, error_of, until
from tests.cluster.gateway.engine import PROMPT
from tests.cluster.gateway.leaks import leaks
from tests.unit.server.identity.identity_provider import IdentityProvider

_REVOKED_SECONDS = 5 + 5  # as promised, and for a busy machine


async def _statuses(servers: Servers, caller: Caller, *request: Any) -> set[int]:
    """Of each replica."""
    answers = [await caller(*(request or ("POST", CHAT, chat()))) for _ in range(servers.number)]
    return {answer.status_code for answer in answers}


async def test_a_key_opens_each_replica_until_it_is_revoked_or_expires(servers: Servers) -> None:
    async with servers.caller() as nobody, servers.user() as ann, servers.admin() as admin:
        assert error_of(await nobody.chat()) == (401, "invalid_api_key")
        assert await _statuses(servers, nobody) == {401}
        assert await _statuses(servers, ann) == {200}
        soon = (datetime.now(UTC) + timedelta(seconds=6)).isoformat()
        short = await admin.new_key(ann.name, expires=soon)
        async with servers.caller(short["key"]) as other:
            assert await _statuses(servers, other) == {200}

            async def ended() -> bool:
                return await _statuses(servers, other) == {401}

            await until(ended)
        assert ann.key
        await admin.done("DELETE", f"/admin/v1/keys/{ann.key[3:11]}")

        async def revoked() -> bool:
            return await _statuses(servers, ann) == {401}

        await until(revoked, _REVOKED_SECONDS)


async def test_a_key_opens_what_it_is_made_for_and_what_nobody_knows_is_closed(
    servers: Servers,
) -> None:
    async with servers.user() as ann, servers.admin() as admin:
        made = await admin.new_key(ann.name, routes=[CHAT], models=["quick"])
        async with servers.caller(made["key"]) as narrow:
            assert await _statuses(servers, narrow) == {200}
            assert await _statuses(servers, narrow, "GET", "/v1/models") == {403}
            assert await _statuses(servers, narrow, "POST", CHAT, chat(model="slow")) == {403}
        assert await _statuses(servers, ann, "GET", "/v1/models") == {200}  # the control
        assert await _statuses(servers, ann, "GET", "/v1/a-route-of-tomorrow") == {403}
        assert await _statuses(servers, ann, "GET", "/admin/v1/users") == {403}
        assert await _statuses(servers, admin, "GET", "/admin/v1/users") == {200}


async def test_a_providers_token_is_as_good_as_a_key(
    servers: Servers, provider: IdentityProvider
) -> None:
    good, foreign = provider.token(), provider.token(aud="another")
    servers.secrets += [token.split(".")[2] for token in (good, foreign)]
    async with servers.caller(good) as ada, servers.caller(foreign) as other:
        assert await _statuses(servers, ada) == {200}
        assert await _statuses(servers, other) == {401}


async def test_an_address_that_guesses_is_locked_out_and_others_are_not(servers: Servers) -> None:
    async with servers.caller("sk-" + "guess" * 10, address="192.0.2.1") as guessing:
        for _ in range(10 * servers.number):
            assert (await guessing.chat()).status_code == 401
        assert await _statuses(servers, guessing) == {429}
    async with servers.user() as ann:
        assert await _statuses(servers, ann) == {200}


async def test_requests_of_a_minute_are_counted_over_all_replicas(servers: Servers) -> None:
    async with servers.user(perKey={"requestsPerMinute": 10}) as ann:
        began = time.monotonic()
        answers = await asyncio.gather(*(ann.chat() for _ in range(30)))
        refilled = (time.monotonic() - began) / 6
        good = [answer for answer in answers if answer.status_code == 200]
        assert 10 <= len(good) <= 10 + refilled
        assert good[0].headers["x-ratelimit-limit-requests"] == "10"
        refused = next(answer for answer in answers if answer.status_code != 200)
        assert error_of(refused) == (429, "rate_limit_exceeded")
        assert 0 < int(refused.headers["retry-after"]) <= 60


async def test_tokens_of_a_minute_are_counted_over_all_replicas(servers: Servers) -> None:
    async with servers.user(perUser={"tokensPerMinute": 3000}) as ann:
        began = time.monotonic()
        answers = await asyncio.gather(*(ann.chat(280) for _ in range(20)))
        refilled = (time.monotonic() - began) * 50
        good = [answer.status_code for answer in answers].count(200)
        # With its prompt one reserves three hundred, and takes a little less.
        assert 3000 // 300 <= good <= (3000 + refilled) // (280 + PROMPT)
        assert error_of(await ann.chat(3000)) == (429, "rate_limit_exceeded")


async def test_what_was_reserved_and_not_used_is_given_back(servers: Servers) -> None:
    """Which an answer that is given again does not use at all."""
    async with servers.user(perUser={"tokensPerMinute": 3000}) as ann:
        given = 0

        async def eight() -> bool:
            nonlocal given
            answer = await ann.chat(900, temperature=0)
            given += answer.status_code == 200 and "hit" in answer.headers["cache-status"]
            return given == 8

        await until(eight, SECONDS)  # in which, if none came back, there would be six


async def test_requests_and_streams_at_a_time_are_counted_over_all_replicas(
    servers: Servers,
) -> None:
    places = {"concurrentRequests": 2, "concurrentStreams": 1}
    async with servers.user(perUser=places) as ann:
        answers = await asyncio.gather(*(ann.chat(60, model="slow") for _ in range(9)))
        statuses = [answer.status_code for answer in answers]
        assert (statuses.count(200), statuses.count(429)) == (2, 7)

        async def free() -> bool:
            return (await ann.chat()).status_code == 200

        await until(free)
        async with ann.stream(60) as lines:
            await anext(lines)
            streams = [await ann.chat(stream=True) for _ in range(servers.number)]
            assert {answer.status_code for answer in streams} == {429}
            assert (await ann.chat()).status_code == 200


async def test_an_address_has_its_own_limit_as_the_trusted_proxy_says_it(servers: Servers) -> None:
    async with servers.user() as ann:
        assert ann.key
        async with servers.caller(ann.key, address="192.0.2.2") as there:
            answers = await asyncio.gather(*(there.chat() for _ in range(40)))
        statuses = [answer.status_code for answer in answers]
        assert 20 <= statuses.count(200) < 30
        assert (await ann.chat()).status_code == 200


async def test_a_month_is_spent_to_its_last_token_and_stays_so_when_all_else_is_lost(
    servers: Servers,
) -> None:
    async with servers.user(monthlyTokens=600) as ann:
        used, refused = 0, 0
        while refused < 3 * servers.number:  # what is settled comes back a moment later
            answers = await asyncio.gather(*(ann.chat(10) for _ in range(6)))
            passed = sum(answer.status_code == 200 for answer in answers)
            used, refused = used + (PROMPT + 10) * passed, 0 if passed else refused + 6
            assert used <= 600
            await asyncio.sleep(0.05 if refused else 0)
        assert used > 600 - 30  # which another one would reserve
        assert error_of(await ann.chat(10)) == (429, "insufficient_quota")
        await _told(servers, ann, used)
        servers.lose()  # in this thread, with which they end
        assert await _statuses(servers, ann) == {429}
    async with servers.user(monthlyTokens=600) as ben:  # the control
        assert await _statuses(servers, ben) == {200}


async def _told(servers: Servers, caller: Caller, tokens: int) -> None:
    """The database knows that these were used."""
    async with servers.admin() as admin:

        async def counted() -> bool:
            months = await admin.done("GET", f"/admin/v1/months?user={caller.name}")
            return [month["tokens"] for month in months] == [tokens]

        await until(counted)


async def test_what_was_used_is_billed_the_same_by_route_command_and_metric(
    servers: Servers,
) -> None:
    async with servers.user() as ann, servers.admin() as admin:
        for _ in range(6):
            assert (await ann.chat(10)).status_code == 200
        await _told(servers, ann, 6 * (PROMPT + 10))
        expected = {"requests": 6, "inputTokens": 30, "outputTokens": 60, "cost": 0.00009}
        assert await admin.used(ann.name) == expected
        said = await asyncio.to_thread(servers.replicas.admin, "usage", "--user", ann.name)
        assert [{name: one[name] for name in expected} for one in said] == [expected]
        scraped = (await admin("GET", "/admin/v1/metrics")).text
        month = f'llmservice_month_output_tokens_total{{model="quick",month="{_month()}"'
        assert f'{month},user="{ann.name}"}} 60.0' in scraped


def _month() -> str:
    return datetime.now(UTC).strftime("%Y-%m")


async def test_who_leaves_in_the_middle_pays_for_what_was_generated(servers: Servers) -> None:
    async with servers.user() as ann, servers.admin() as admin:
        async with ann.stream(200) as lines:
            seen = [await anext(lines) for _ in range(10)]  # five events, and a line after each
        assert sum(line.startswith("data: ") for line in seen) == 5

        async def billed() -> bool:
            return (await admin.used(ann.name))["requests"] == 1

        await until(billed)
        assert 5 <= (await admin.used(ann.name))["outputTokens"] < 200


async def test_what_is_sent_again_to_another_replica_runs_once(servers: Servers) -> None:
    key = {"idempotency-key": "once"}
    async with servers.user() as ann, servers.user() as ben:
        first = await ann.chat(headers=key)
        again = [await ann.chat(headers=key) for _ in range(servers.number)]
        assert {answer.text for answer in again} == {first.text}
        assert {answer.headers["idempotent-replayed"] for answer in again} == {"true"}
        assert error_of(await ann.chat(11, headers=key)) == (422, "idempotency_key_reused")
        assert (await ben.chat(headers=key)).text != first.text
        key = {"idempotency-key": "at the same time"}
        both = [ann.chat(60, model="slow", headers=key) for _ in range(1 + servers.number)]
        statuses = [answer.status_code for answer in await asyncio.gather(*both)]
        assert (statuses.count(200), statuses.count(409)) == (1, servers.number)


async def test_an_answer_is_given_again_by_each_replica_to_its_tenant_alone(
    servers: Servers,
) -> None:
    async with servers.user() as ann, servers.user() as ben:
        first = await ann.chat(temperature=0)
        assert first.headers["cache-status"] == "llmservice; fwd=miss"

        async def kept() -> bool:
            return "hit" in (await ann.chat(temperature=0)).headers["cache-status"]

        await until(kept)
        ran = await servers.ran()
        hits = [await ann.chat(temperature=0) for _ in range(servers.number)]
        assert {hit.text for hit in hits} == {first.text}
        assert await servers.ran() == ran
        others = await ben.chat(temperature=0)
        assert (others.headers["cache-status"], others.text == first.text) == (
            "llmservice; fwd=miss",
            False,
        )
        anew = await ann.chat(temperature=0, headers={"cache-control": "no-cache"})
        assert anew.text != first.text


async def test_history_says_who_asked_what_and_forgets_who_is_forgotten(servers: Servers) -> None:
    async with (
        servers.user(keepBodies=True, perKey={"requestsPerMinute": 4}) as ann,
        servers.user() as ben,
        servers.admin() as admin,
    ):
        answers = [await ann.chat(words) for words in (1, 2, 3, 4, 5)]
        assert (await ben.chat()).status_code == 200
        ids = [answer.headers["x-request-id"] for answer in answers]

        async def rows(user: str) -> list[dict[str, Any]]:
            listed = await admin.done("GET", f"/admin/v1/history?user={user}")
            return sorted(listed, key=lambda row: row["at"])

        async def all_there() -> bool:
            return len(await rows(ann.name)) == 5 and len(await rows(ben.name)) == 1

        await until(all_there)
        kept = await rows(ann.name)
        assert [row["requestId"] for row in kept] == ids
        assert [row["status"] for row in kept] == [200, 200, 200, 200, 429]
        assert [row["outputTokens"] for row in kept[:4]] == [1, 2, 3, 4]
        whole = await admin.done("GET", f"/admin/v1/history/{kept[0]['number']}")
        assert (json.loads(whole["asked"]), whole["answered"]) == (chat(1), answers[0].text)
        (other,) = await rows(ben.name)
        assert (await admin.done("GET", f"/admin/v1/history/{other['number']}"))["asked"] is None
        await admin.done("DELETE", f"/admin/v1/users/{ann.name}/history")
        assert (await rows(ann.name), len(await rows(ben.name))) == ([], 1)


async def test_a_conversation_goes_on_at_any_replica_for_its_owner_alone(servers: Servers) -> None:
    async with servers.user() as ann, servers.user() as ben:

        async def say(who: Caller, conversation: str) -> httpx2.Response:
            said = chat(3) | {"conversation_id": conversation}
            return await who("POST", "/api/chat", said)

        conversation = (await say(ann, "new")).json()["conversation_id"]
        for _ in range(servers.number):
            assert (await say(ann, conversation)).json()["conversation_id"] == conversation
        address = f"/api/conversations/{conversation}"
        whole = await ann.done("GET", address)
        assert len(whole["messages"]) == 2 * (1 + servers.number)
        assert (await say(ben, conversation)).status_code == 404
        assert await _statuses(servers, ben, "GET", address) == {404}
        assert (await ann("DELETE", address)).status_code == 204
        assert await _statuses(servers, ann, "GET", address) == {404}


async def test_what_is_meant_to_be_run_is_a_name_like_any_other(servers: Servers) -> None:
    """SQL, and lines that would be headers."""
    wicked = "x'; DROP TABLE users; --"
    async with servers.user() as ann, servers.admin() as admin:
        assert (await admin("POST", "/admin/v1/users", {"name": wicked})).status_code == 400
        for query in (wicked, "' OR '1'='1", f"{ann.name}' --"):
            quoted = str(httpx2.QueryParams({"user": query}))
            assert (await admin.done("GET", f"/admin/v1/history?{quoted}")) == []
        for model in (wicked, "quick\r\nset-cookie: a=b"):
            answer = await ann.chat(model=model)
            assert (answer.status_code, "set-cookie" in answer.headers) == (404, False)
        assert (await ann.chat(headers={"idempotency-key": "' OR 1=1; --"})).status_code == 200
        async with servers.caller(f"sk-' OR '1'='1{'x' * 39}") as nobody:
            assert (await nobody.chat()).status_code == 401
        assert (await admin.done("GET", f"/admin/v1/users/{ann.name}"))["name"] == ann.name


async def test_who_changed_what_is_in_the_trail(servers: Servers) -> None:
    async with servers.user() as ann, servers.admin() as admin:
        trail = await admin.done("GET", "/admin/v1/audit?limit=3")
        assert [entry["action"] for entry in trail] == ["key.add", "user.add", "plan.put"]
        assert {entry["actor"] for entry in trail} == {f"key {servers.admin_key[3:11]}"}
        assert ann.key
        assert ann.key[11:] not in json.dumps(trail)


async def test_after_all_this_no_key_and_no_prompt_is_in_a_log(
    servers: Servers, tmp_path: Path
) -> None:
    """Those before it in this file have asked for all that, at the level of debug."""
    async with servers.user() as ann:
        assert (await ann.chat()).status_code == 200
        prefix, secret = str(ann.key)[3:11], str(ann.key)

        async def logged() -> bool:
            return any(prefix in log.read_text() for log in servers.replicas.logs)

        await until(logged, SECONDS)  # who asked is there
    hidden = [*servers.secrets, "capital of France"]
    assert leaks(servers.replicas.logs, hidden) == []
    control = tmp_path / "control.log"
    lines = (f"Bearer {secret}", "nothing", f"hidden {servers.secrets[0]} there")
    control.write_text("\n".join(lines))
    assert leaks([control], hidden) == ["control.log:1", "control.log:3"]
