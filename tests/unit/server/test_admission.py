"""Who runs, who waits and who is refused, whatever clients and the engine do meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from llmservice_server.config import LimitsConfig
from llmservice_server.gateway.admission import Admission, costs
from llmservice_server.gateway.asgi import Receive, Scope, Send, answer_json

from tests.unit.server.layer import Exchange, context
from tests.unit.server.small_engine import Served, SmallEngine, served, until

_LIMITS = LimitsConfig(running=2, waiting=3, wait_seconds=600)
_BODY = b'{"prompt": "x"}'


@dataclass
class _Engine:
    """Answers each request when it is told to; notes who came and what they sent."""

    came: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    ends: dict[int, asyncio.Event] = field(default_factory=dict)
    failing: set[int] = field(default_factory=set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        number = scope["number"]
        self.came.append(number)
        self.bodies.append((await receive())["body"])
        await self.ends.setdefault(number, asyncio.Event()).wait()
        if number in self.failing:
            raise RuntimeError("a fault in the engine's own code")
        await answer_json(send, 200, {})

    def end(self, number: int, *, fails: bool = False) -> None:
        if fails:
            self.failing.add(number)
        self.ends.setdefault(number, asyncio.Event()).set()


class _World:
    """An engine behind admission, and all requests that have been made, by number."""

    def __init__(self, limits: LimitsConfig = _LIMITS) -> None:
        self.context = context(limits=limits)
        self.engine = _Engine()
        self._app = Admission(self.engine, self.context)
        self.exchanges: list[Exchange] = []
        self.tasks: list[asyncio.Task[Exchange]] = []

    async def arrive(self) -> None:
        exchange = Exchange(_BODY)
        exchange.scope["number"] = len(self.exchanges)
        self.exchanges.append(exchange)
        self.tasks.append(asyncio.create_task(exchange.through(self._app)))
        await self.settle()

    async def settle(self) -> None:
        for _ in range(8):
            await asyncio.sleep(0)

    @property
    def counts(self) -> tuple[int, int]:
        return self.context.turns.running, self.context.turns.waiting


_step = st.tuples(
    st.sampled_from(["arrive", "arrive", "arrive", "end", "fail", "leave", "cancel"]),
    st.integers(0, 30),
    st.booleans(),
)


@settings(deadline=None)
@given(st.lists(_step, max_size=60))
@example([("arrive", 0, False)] * 4 + [("leave", 3, False)])
def test_counts_stay_within_their_bounds_and_come_back_to_zero(
    steps: list[tuple[str, int, bool]],
) -> None:
    asyncio.run(_random_life(steps))


async def _random_life(steps: list[tuple[str, int, bool]]) -> None:
    world = _World()
    for what, number, settles in steps:
        if what == "arrive":
            await world.arrive()
        elif number < len(world.tasks):
            if what == "leave":
                world.exchanges[number].gone.set()
            elif what == "cancel":
                world.tasks[number].cancel()
            else:
                world.engine.end(number, fails=what == "fail")
        if settles:  # else the next step comes in the same turn of the loop
            await world.settle()
        running, waiting = world.counts
        assert 0 <= running <= 2
        assert 0 <= waiting <= 3
        if waiting:
            assert running == 2
    for number in range(len(world.tasks)):
        world.engine.end(number)
    await asyncio.gather(*world.tasks, return_exceptions=True)
    assert world.counts == (0, 0)
    stayed = [n for n in world.engine.came if not world.exchanges[n].gone.is_set()]
    assert stayed == sorted(stayed)  # first come, first served
    assert set(world.engine.bodies) <= {_BODY}  # whoever waited lost nothing of the body
    statuses = {exchange.status for exchange in world.exchanges if exchange.sent}
    assert statuses <= {200, 499, 503}


async def test_beyond_both_bounds_a_request_is_refused_at_once_with_retry_after() -> None:
    world = _World()
    for _ in range(6):
        await world.arrive()
    assert world.counts == (2, 3)
    refused = world.exchanges[5]
    assert refused.status == 503
    assert int(refused.headers["retry-after"]) > 0
    assert refused.error["type"] == "service_unavailable"
    assert "2 requests run and 3 wait" in refused.error["message"]
    for number in range(5):
        world.engine.end(number)
    await asyncio.gather(*world.tasks)
    assert [exchange.status for exchange in world.exchanges] == [200] * 5 + [503]


async def test_who_waits_longer_than_the_deadline_is_refused() -> None:
    world = _World(LimitsConfig(running=1, waiting=5, wait_seconds=1))
    await world.arrive()
    await world.arrive()
    late = await asyncio.wait_for(world.tasks[1], 5)
    assert late.status == 503
    assert "no turn came in 1 s" in late.error["message"]
    assert world.counts == (1, 0)


async def test_a_client_that_leaves_the_queue_leaves_it_at_once_and_runs_nothing() -> None:
    world = _World()
    for _ in range(4):
        await world.arrive()
    world.exchanges[2].gone.set()
    await world.settle()
    assert world.counts == (2, 1)
    world.engine.end(0)
    await world.settle()
    assert world.engine.came == [0, 1, 3]
    assert world.exchanges[2].status == 499  # for the log; nobody reads it


async def test_a_place_given_to_one_that_is_cancelled_goes_to_the_next() -> None:
    world = _World()
    for _ in range(4):
        await world.arrive()
    world.engine.end(0)
    while world.counts != (2, 1):
        await asyncio.sleep(0)
    world.tasks[2].cancel()  # it has the place and does not know yet
    await world.settle()
    assert world.engine.came == [0, 1, 3]


async def test_whoever_waited_and_leaves_while_it_runs_is_seen_by_the_engine() -> None:
    world = _World(LimitsConfig(running=1, waiting=5, wait_seconds=600))
    heard: list[str] = []

    async def engine(_scope: Scope, receive: Receive, send: Send) -> None:
        heard.append((await receive())["type"])
        if len(heard) == 1:
            await let_go.wait()
        else:
            heard.append((await receive())["type"])
        await answer_json(send, 200, {})

    let_go = asyncio.Event()
    app = Admission(engine, world.context)
    first, second = Exchange(_BODY), Exchange(_BODY)
    tasks = [asyncio.create_task(each.through(app)) for each in (first, second)]
    await world.settle()
    assert world.counts == (1, 1)
    let_go.set()
    await world.settle()
    second.gone.set()
    await asyncio.gather(*tasks)
    assert heard == ["http.request", "http.request", "http.disconnect"]


async def test_what_costs_the_engine_nothing_is_not_held_up() -> None:
    world = _World(LimitsConfig(running=1, waiting=0))
    await world.arrive()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await answer_json(send, 200, {})

    free = Admission(app, world.context)
    assert (await Exchange(method="GET", path="/v1/models").through(free)).status == 200
    assert (await Exchange(path="/tokenize").through(free)).status == 200
    assert (await Exchange(path="/v1/chat/completions").through(free)).status == 503
    socket = await Exchange(kind="websocket", path="/v1/realtime").through(free)
    assert socket.sent == [{"type": "websocket.close", "code": 1013}]


@pytest.mark.parametrize(
    ("method", "path", "costly"),
    [
        ("POST", "/v1/chat/completions", True),
        ("POST", "/v1/embeddings", True),
        ("POST", "/predict/batch", True),
        ("POST", "/of/a/new/release", True),
        ("GET", "/stream", True),
        ("GET", "/docs", False),
        ("GET", "/metrics", False),
        ("DELETE", "/v1/responses/x", False),
        ("POST", "/v1/responses/x/cancel", False),
        ("POST", "/admin/v1/keys", False),
        ("OPTIONS", "/v1/chat/completions", False),
    ],
)
def test_what_the_engine_must_compute_for_waits_for_its_turn(
    method: str, path: str, *, costly: bool
) -> None:
    assert costs(method, path) is costly


def test_the_bound_is_the_users_or_twice_what_the_engine_computes_at_once() -> None:
    usual = context()
    usual.engine_computes(256)
    assert usual.turns.places == 512
    chosen = context(limits=LimitsConfig(running=7))
    chosen.engine_computes(256)
    assert chosen.turns.places == 7


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    limits = LimitsConfig(running=1, waiting=1, wait_seconds=600)
    async with served(SmallEngine(seconds_a_word=0.02), limits=limits) as running:
        await until(lambda: running.context.lifecycle.phase.value == "ready")
        yield running


async def _ask(port: int, words: int, *, stream: bool = True) -> asyncio.StreamWriter:
    body = b'{"max_tokens": %d, "stream": %s}' % (words, b"true" if stream else b"false")
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    return writer


@pytest.mark.parametrize("stream", [True, False])
async def test_over_sockets_a_client_that_leaves_stops_its_generation_within_a_second(
    server: Served, *, stream: bool
) -> None:
    turns = server.context.turns
    runs = await _ask(server.port, 100_000, stream=stream)
    await until(lambda: turns.running == 1)
    waits = await _ask(server.port, 3)
    await until(lambda: turns.waiting == 1)
    waits.transport.abort()
    await until(lambda: turns.waiting == 0, seconds=1)
    assert server.engine.left_early == 0
    runs.transport.abort()
    await until(lambda: server.engine.left_early == 1, seconds=1)
    await until(lambda: (turns.running, turns.waiting) == (0, 0))
    await until(lambda: server.context.lifecycle.in_flight == 0)
