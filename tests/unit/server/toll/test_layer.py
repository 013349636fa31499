"""Limits and quotas as a client meets them: what passes, what is refused, and what it is told."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import httpx2
import pytest
from llmservice_server.config import (
    AnonymousRates,
    AuthConfig,
    LimitsConfig,
    Place,
    Plan,
    Price,
    Rates,
    RedisConfig,
)
from llmservice_server.gateway.asgi import App, Receive, Scope, Send, answer_error, answer_json
from llmservice_server.gateway.caller import Caller, note
from llmservice_server.gateway.exchange import Exchanges
from llmservice_server.gateway.sanitize import Sanitize
from llmservice_server.gateway.toll.answer import duration
from llmservice_server.gateway.toll.layer import toll
from llmservice_server.gateway.toll.metrics import limited
from prometheus_client import REGISTRY

from tests.unit.server.layer import Exchange, context
from tests.unit.server.small_engine import SmallEngine, served, until
from tests.unit.server.toll.words import Memory

if TYPE_CHECKING:
    from dev.redis import Redis

_ANYBODY = AuthConfig(anonymous=True)


class _World:
    """Toll between Sanitize and an engine, with whoever asks."""

    def __init__(self, plan: Plan, engine: App | None = None, **parts: Any) -> None:
        self.ledger = Memory()
        self.plan = plan
        self.engine = SmallEngine(seconds_a_word=0)
        self.bodies: list[dict[str, Any]] = []
        self.queries: list[bytes] = []
        ledger = parts.pop("ledger", self.ledger)
        parts.setdefault("auth", _ANYBODY)
        world = context(**parts)
        object.__setattr__(world, "ledger", ledger)
        below = toll(engine or self._noted, world)
        self._app = Exchanges(Sanitize(below, world), world, ())

    async def _noted(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.queries.append(scope["query_string"])
        message = await receive()
        body: bytes = message["body"]
        if body:
            assert dict(scope["headers"])[b"content-length"] == str(len(body)).encode()
            self.bodies.append(json.loads(body))

        async def again() -> Any:
            nonlocal message
            message, now = {"type": "http.disconnect"}, message
            return now if now["type"] == "http.request" else await receive()

        await self.engine(scope, again, send)

    async def ask(self, max_tokens: object = 10, user: str | None = "ann", **body: Any) -> Exchange:
        exchange = self.prepared({"max_tokens": max_tokens, **body}, user)
        return await exchange.through(self._app)

    def prepared(self, body: dict[str, Any], user: str | None = "ann", **parts: Any) -> Exchange:
        sent = json.dumps({name: value for name, value in body.items() if value != "unnamed"})
        exchange = Exchange(sent.encode(), **parts)
        note(exchange.scope, Caller("192.0.2.1", self.plan, key=user and f"k-{user}", user=user))
        return exchange

    async def send(self, exchange: Exchange) -> Exchange:
        return await exchange.through(self._app)


async def test_beyond_a_minutes_requests_a_key_is_told_when_to_come_again() -> None:
    world = _World(Plan(name="p", per_key=Rates(requests_per_minute=3)))
    told = [await world.ask() for _ in range(3)]
    assert [one.status for one in told] == [200] * 3
    remaining = [int(one.headers["x-ratelimit-remaining-requests"]) for one in told]
    assert remaining == [2, 1, 0]
    assert told[0].headers["x-ratelimit-limit-requests"] == "3"
    assert told[0].headers["x-ratelimit-reset-requests"] == "20s"
    refused = await world.ask()
    assert refused.status == 429
    assert refused.error["code"] == refused.error["type"] == "rate_limit_exceeded"
    assert 15 <= int(refused.headers["retry-after"]) <= 20
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert "3 requests a minute" in refused.error["message"]
    assert (await world.ask(user="bob")).status == 200


async def test_tokens_are_reserved_as_asked_for_and_settled_as_used() -> None:
    world = _World(Plan(name="p", per_key=Rates(tokens_per_minute=1000)))
    first = await world.ask(max_tokens=600)
    assert first.status == 200
    assert int(first.headers["x-ratelimit-remaining-tokens"]) < 400
    # The engine said 3 and 600. A second one like it is too much, a smaller one not.
    refused = await world.ask(max_tokens=600)
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert "tokens a minute" in refused.error["message"]
    assert (await world.ask(max_tokens=300)).status == 200


async def test_what_is_billed_is_told_by_plan_and_model_and_costs_what_it_says() -> None:
    def told(what: str, **labels: str) -> float:
        names = {"plan": "billed", "model": "small", **labels}
        return REGISTRY.get_sample_value(f"llmservice_billed_{what}_total", names) or 0.0

    prices = (Price(model="small", input_per_million=1, output_per_million=2.5),)
    world = _World(Plan(name="billed"), prices=prices)
    await world.ask(max_tokens=5, model="small")
    await world.ask(max_tokens=7, model="small")
    assert told("requests") == 2
    assert told("tokens", direction="input") == 6
    assert told("tokens", direction="output") == 12
    assert told("cost") == pytest.approx((6 * 1 + 12 * 2.5) / 1e6)
    world.engine.failing = 1
    await world.ask(max_tokens=5, model="small")
    await world.ask(max_tokens=5, model="a client's own words")
    assert told("requests") == 2
    (family,) = (one for one in REGISTRY.collect() if one.name == "llmservice_billed_requests")
    ours = [sample.labels for sample in family.samples if sample.labels["plan"] == "billed"]
    assert {labels["model"] for labels in ours} <= {"small", "french", ""}
    assert {(e.input_tokens, e.output_tokens) for e in world.ledger.entries} >= {(3, 5), (3, 7)}


async def test_what_can_never_pass_is_said_to_be_too_large() -> None:
    world = _World(Plan(name="p", per_key=Rates(tokens_per_minute=1000)))
    refused = await world.ask(max_tokens=2000)
    assert (refused.status, refused.headers["x-should-retry"]) == (429, "false")
    assert "this request alone" in refused.error["message"]
    assert (await world.ask(max_tokens=900)).status == 200  # and it cost nothing


async def test_a_used_up_quota_is_insufficient_until_the_month_ends() -> None:
    world = _World(Plan(name="p", monthly_tokens=100))
    world.ledger.base = (7, 80)
    assert (await world.ask(max_tokens=10)).status == 200  # 3 of the prompt and 10 of the answer
    refused = await world.ask(max_tokens=10)
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
    assert refused.headers["x-should-retry"] == "false"
    assert 0 < int(refused.headers["retry-after"]) <= 31 * 86_400
    assert "7 are left" in refused.error["message"]
    assert world.ledger.asked == 1
    assert (await world.ask(max_tokens=1)).status == 200


async def test_what_was_used_is_in_the_ledger_and_nothing_stays_reserved() -> None:
    world = _World(Plan(name="p", monthly_tokens=10_000))
    await world.ask(max_tokens=5, model="small")
    await world.ask(max_tokens=7, stream=True, stream_options={"include_usage": True})
    used = [(e.user, e.key, e.requests, e.input_tokens, e.output_tokens, e.model)
            for e in world.ledger.entries]  # fmt: skip
    assert used == [("ann", "k-ann", 1, 3, 5, "small"), ("ann", "k-ann", 1, 3, 7, "small")]
    assert world.ledger.reserved == 0
    assert all(entry.month for entry in world.ledger.entries)


async def test_a_ledger_that_cannot_be_read_lets_nobody_with_a_quota_pass() -> None:
    class _Away(Memory):
        async def month(self, user: str, month: str) -> Any:
            raise RuntimeError("the database is away")

    away = _Away()
    refused = await _World(Plan(name="p", monthly_tokens=100), ledger=away).ask()
    assert (refused.status, refused.error["code"]) == (503, "service_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert "database" not in refused.error["message"]
    assert (await _World(Plan(name="p"), ledger=away).ask()).status == 200


async def test_at_a_time_as_many_as_the_plan_says() -> None:
    go_on = asyncio.Event()

    async def engine(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await answer_json(send, 200, {})

    rates = Rates(concurrent_requests=3, concurrent_streams=1)
    world = _World(Plan(name="p", per_key=rates), engine)
    running = [asyncio.create_task(world.ask(stream=True)) for _ in range(3)]
    running += [asyncio.create_task(world.ask()) for _ in range(4)]
    await until(lambda: sum(task.done() for task in running) == 4)
    refused = [task.result() for task in running if task.done()]
    assert {one.status for one in refused} == {429}
    assert {"1 streams" in one.error["message"] for one in refused[:2]} == {True}
    assert {"3 requests" in one.error["message"] for one in refused[2:]} == {True}
    go_on.set()
    assert [(await task).status for task in running].count(200) == 3
    assert (await world.ask(stream=True)).status == 200


async def test_what_an_engine_failed_at_is_given_back() -> None:
    async def engine(_scope: Scope, _receive: Receive, send: Send) -> None:
        await answer_error(send, 500, "server_error", "a fault of ours")

    plan = Plan(name="p", per_key=Rates(tokens_per_minute=100), monthly_tokens=100)
    world = _World(plan, engine)
    assert [(await world.ask(max_tokens=90)).status for _ in range(5)] == [500] * 5
    assert world.ledger.reserved == 0
    assert sum(entry.requests for entry in world.ledger.entries) == 0

    async def raising(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError("a fault in the engine's own code")

    broken = _World(plan, raising)
    for _ in range(5):
        with pytest.raises(RuntimeError):
            await broken.ask(max_tokens=90)
    assert broken.ledger.reserved == 0


async def test_a_client_that_leaves_pays_for_what_was_generated() -> None:
    world = _World(Plan(name="p", monthly_tokens=10_000))
    world.engine.pace = 0.005
    exchange = world.prepared({"max_tokens": 1000, "stream": True})
    asking = asyncio.create_task(world.send(exchange))
    await until(lambda: len(exchange.sent) > 20)
    exchange.gone.set()
    await asking
    (entry,) = world.ledger.entries
    events = sum(message.get("body", b"").count(b"\n\n") for message in exchange.sent)
    assert 15 < entry.output_tokens <= events < 1000
    assert world.ledger.reserved == 0
    # Of an answer that is not streamed nobody knows how far it was.
    exchange = world.prepared({"max_tokens": 1000})
    asking = asyncio.create_task(world.send(exchange))
    await asyncio.sleep(0.05)
    exchange.gone.set()
    await asking
    assert world.ledger.entries[-1].output_tokens == 1000


async def test_a_plan_bounds_prompts_and_answers() -> None:
    world = _World(Plan(name="p", max_prompt_tokens=20, max_output_tokens=8))
    assert (await world.ask(max_tokens=8)).status == 200
    long = await world.ask(max_tokens=9)
    assert (long.status, long.error["type"]) == (400, "invalid_request_error")
    assert "write 8 or less" in long.error["message"]
    assert (await world.ask(max_tokens=8, prompt="x" * 200)).status == 400
    # Who names nothing gets the plan's bound, in a body that is otherwise as it was sent.
    body = {"prompt": "höh", "temperature": 0.1}
    assert (await world.ask(max_tokens="unnamed", **body)).status == 200
    assert world.bodies[-1] == {**body, "max_tokens": 8}
    assert (await world.ask(max_tokens=None, **body)).status == 200
    assert world.bodies[-1] == {**body, "max_tokens": 8}
    exchange = Exchange(path="/stream", method="GET")
    exchange.scope["query_string"] = b"prompt=x"
    note(exchange.scope, Caller("192.0.2.1", world.plan, key="k"))
    await world.send(exchange)
    assert world.queries[-1] == b"prompt=x&max_tokens=8"


async def test_a_body_that_a_plan_does_not_touch_reaches_the_engine_as_it_was() -> None:
    seen: list[bytes] = []

    async def engine(_scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((await receive())["body"])
        await answer_json(send, 200, {})

    world = _World(Plan(name="p", max_output_tokens=8, per_key=Rates(tokens_per_minute=99)), engine)
    sent = b'{ "max_tokens" : 3,\n "prompt":"x" }'
    exchange = Exchange(sent)
    note(exchange.scope, Caller("192.0.2.1", world.plan, key="k"))
    assert (await world.send(exchange)).status == 200
    assert seen == [sent]


async def test_what_costs_the_engine_nothing_is_a_request_of_a_minute_alone() -> None:
    plan = Plan(name="p", per_key=Rates(requests_per_minute=2, concurrent_requests=1))
    world = _World(plan)
    for expected in (404, 404, 429):
        exchange = Exchange(method="GET", path="/v1/models")
        note(exchange.scope, Caller("192.0.2.1", plan, key="k"))
        assert (await world.send(exchange)).status == expected


@pytest.mark.parametrize("auth", [_ANYBODY, AuthConfig()], ids=["asked who", "not asked"])
async def test_a_route_that_is_public_is_not_limited(auth: AuthConfig) -> None:
    limits = LimitsConfig(per_address=Rates(requests_per_minute=1))
    world = _World(Plan(name="p"), limits=limits, auth=auth)
    for _ in range(3):
        assert (await world.send(Exchange(method="GET", path="/docs"))).status == 404


async def test_a_websocket_takes_a_place_and_gives_it_back() -> None:
    go_on = asyncio.Event()

    async def engine(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await go_on.wait()

    plan = Plan(name="p", per_key=Rates(concurrent_requests=1))
    world = _World(plan, engine)

    def socket() -> Exchange:
        exchange = Exchange(kind="websocket", path="/v1/realtime")
        note(exchange.scope, Caller("192.0.2.1", plan, key="k"))
        return exchange

    first = asyncio.create_task(world.send(socket()))
    await asyncio.sleep(0.01)
    refused = await world.send(socket())
    assert refused.sent == [{"type": "websocket.close", "code": 1013}]
    go_on.set()
    await first
    assert (await world.send(socket())).sent == []


async def test_where_nothing_is_configured_there_is_no_layer() -> None:
    async def app(*_: object) -> None: ...

    assert toll(app, context()) is app
    assert (
        toll(app, context(limits=LimitsConfig(anonymous=AnonymousRates(tokens_per_minute=1))))
        is app
    )
    limits = LimitsConfig(per_address=Rates(requests_per_minute=1))
    assert toll(app, context(limits=limits)) is not app
    off = limits.model_copy(update={"enabled": False})
    assert toll(app, context(limits=off)) is app
    assert toll(app, context(auth=_ANYBODY)) is not app


@pytest.mark.parametrize(
    "limits",
    [
        LimitsConfig(per_address=Rates(requests_per_minute=2)),
        LimitsConfig(enabled=True, anonymous=AnonymousRates(requests_per_minute=2)),
    ],
    ids=["written", "switched on"],
)
async def test_addresses_are_limited_where_nobody_asks_who_they_are(limits: LimitsConfig) -> None:
    world = _World(Plan(name="p"), limits=limits, auth=AuthConfig())

    async def asked(address: str) -> int:
        exchange = Exchange(b'{"max_tokens": 1}')
        exchange.scope["client"] = (address, 1)
        return (await world.send(exchange)).status

    assert [await asked("192.0.2.1") for _ in range(3)] == [200, 200, 429]
    assert await asked("192.0.2.2") == 200


async def test_where_rates_are_switched_off_sizes_and_months_hold_still() -> None:
    one = Rates(requests_per_minute=1)
    plan = Plan(name="p", per_key=one, total=one, max_output_tokens=10, monthly_requests=3)
    world = _World(plan, limits=LimitsConfig(enabled=False, per_address=one))
    assert (await world.ask(11)).status == 400
    statuses = [(await world.ask()).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    limited = _World(plan, limits=LimitsConfig(per_address=one))  # the control
    assert [(await limited.ask()).status for _ in range(2)] == [200, 429]


async def test_metrics_tell_which_limit_and_which_plan() -> None:
    plan = Plan(name="told", per_key=Rates(requests_per_minute=1))
    world = _World(plan)
    for _ in range(3):
        await world.ask(user="no\nlabel")
    samples = [s for s in limited.collect()[0].samples if s.labels.get("plan") == "told"]
    counted = {s.labels["limit"]: s.value for s in samples if s.name.endswith("_total")}
    assert counted == {"requests_per_minute": 2}


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        *[(0, "0ms"), (120, "120ms"), (1000, "1s"), (7660, "7.66s")],
        *[(60_000, "1m0s"), (361_500, "6m1.5s")],
    ],
)
def test_durations_are_written_as_openai_writes_them(ms: int, text: str) -> None:
    assert duration(ms) == text


@pytest.fixture(params=["memory", "redis"])
async def url(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """A whole server with ten requests a minute for whoever has no key."""
    redis = RedisConfig()
    if request.param == "redis":
        server = cast("Redis", request.getfixturevalue("redis"))
        monkeypatch.setenv("TEST_REDIS_URL", server.url)
        redis = RedisConfig(url=Place(variable="TEST_REDIS_URL"))
    async with served(SmallEngine(), auth=_ANYBODY, redis=redis) as running:
        await until(lambda: running.context.lifecycle.phase.value == "ready")
        yield running.url


async def test_a_key_has_what_its_plan_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYS", "ann: sk-ann-and-more\nbob: sk-bob-and-more")
    plan = Plan(name="default", per_key=Rates(requests_per_minute=2), monthly_requests=3)
    auth = AuthConfig(keys=Place(variable="TEST_KEYS"), plans=(plan,))
    async with (
        served(SmallEngine(), auth=auth) as running,
        httpx2.AsyncClient(base_url=running.url) as client,
    ):

        async def ask(key: str) -> int:
            headers = {"authorization": f"Bearer sk-{key}-and-more"}
            asked = client.post("/v1/completions", json={"max_tokens": 2}, headers=headers)
            return (await asked).status_code

        assert [await ask("ann") for _ in range(3)] == [200, 200, 429]
        assert [await ask("bob"), await ask("eve")] == [200, 401]
        assert (await client.get("/v1/models")).status_code == 401


async def test_over_sockets_ten_requests_a_minute_and_then_429(url: str) -> None:
    async with httpx2.AsyncClient(base_url=url) as client:
        post = partial(client.post, "/v1/completions", json={"max_tokens": 2})
        answers = [await post() for _ in range(12)]
        assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 2
        assert answers[-1].json()["error"]["code"] == "rate_limit_exceeded"
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/health")).status_code == 200
