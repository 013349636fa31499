"""In which order those who wait for the engine get their turns, whoever floods or leaves."""

import asyncio
import random
from collections import Counter, deque
from dataclasses import dataclass, field
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from llmservice_server.config import LimitsConfig
from llmservice_server.config.plan import Plan
from llmservice_server.gateway.admission import Admission
from llmservice_server.gateway.asgi import Receive, Scope, Send, answer_json
from llmservice_server.gateway.caller import Caller, note
from llmservice_server.gateway.turns import Turn, Turns

from tests.unit.server.layer import Exchange, context


@dataclass
class _Engine:
    """Turns whose order is seen: each that comes is noted with its tenant."""

    turns: Turns
    waiting: dict[Turn, tuple[str, int]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def join(self, tenant: str, weight: int = 1) -> Turn:
        turn = self.turns.join(tenant, weight)
        self.waiting[turn] = (tenant, weight)
        return turn

    def serve(self) -> str:
        """End one that runs; whose turn came."""
        self.turns.end()
        (came,) = [turn for turn in self.waiting if turn.done()]
        tenant, _ = self.waiting.pop(came)
        self.order.append(tenant)
        return tenant


def _full(places: int = 1) -> _Engine:
    turns = Turns(places)
    for _ in range(places):
        assert turns.begin()
    return _Engine(turns)


async def test_beside_one_who_floods_a_polite_one_waits_for_two_turns() -> None:
    """1,000 wait of one key; another asks, waits for its answer, and asks again."""
    engine = _full()
    for _ in range(1000):
        engine.join("flood")
    waits: list[int] = []
    for _ in range(100):
        engine.join("polite")
        waited = 1
        while engine.serve() != "polite":
            waited += 1
        waits.append(waited)
    assert max(waits) <= 2
    # The same without tenants, as it is where nobody tells who asks: the flood comes first.
    plain = _full()
    for _ in range(1000):
        plain.join("")
    last = plain.turns.join()
    turns = 0
    while not last.done():
        plain.turns.end()
        turns += 1
    assert turns == 1001


async def test_turns_are_shared_by_weight_as_long_as_all_wait() -> None:
    engine = _full()
    for tenant, weight in (("gold", 5), ("silver", 2), ("bronze", 1)):
        for _ in range(900):
            engine.join(tenant, weight)
    for _ in range(800):
        engine.serve()
    shares = {"gold": 500, "silver": 200, "bronze": 100}
    within = Counter(engine.order[400:480])  # in each stretch as in the end
    for tenant, due in shares.items():
        assert abs(engine.order.count(tenant) - due) <= 1
        assert abs(within[tenant] - due / 10) <= 1


async def test_one_who_comes_back_is_not_starved_by_ever_new_names() -> None:
    """As where each address is a tenant and there are ever new ones."""
    engine = _full()
    for number in range(20):
        engine.join(f"new {number}")
    number, waits = 20, list[int]()
    for _ in range(20):
        engine.join("again")
        waited = 1
        while engine.serve() != "again":
            engine.join(f"new {(number := number + 1)}")
            waited += 1
        waits.append(waited)
    assert max(waits) <= 24  # all who were there, and not those who came after


async def test_who_was_away_has_no_turns_saved_up() -> None:
    engine = _full()
    for _ in range(300):
        engine.join("busy")
    engine.join("away")
    for _ in range(200):
        engine.serve()
    for _ in range(50):
        engine.join("away")
    engine.order.clear()
    for _ in range(40):
        engine.serve()
    assert abs(Counter(engine.order)["away"] - 20) <= 1


_step = st.tuples(
    st.sampled_from(["join", "join", "join", "serve", "serve", "leave"]),
    st.integers(0, 5),
    st.integers(0, 40),
)


class _Life:
    """Six tenants at an engine of two places, and what each one's first request saw as it waits."""

    def __init__(self, weights: list[int]) -> None:
        self.weights = weights
        self.turns = Turns(2)
        self.queues: list[deque[Turn]] = [deque() for _ in weights]
        self.passed = [Counter[int]() for _ in weights]
        while self.turns.begin():
            pass

    def join(self, tenant: int, _: int) -> None:
        self.queues[tenant].append(self.turns.join(str(tenant), self.weights[tenant]))

    def leave(self, tenant: int, number: int) -> None:
        if queue := self.queues[tenant]:
            place = number % len(queue)
            self.turns.leave(queue[place])
            del queue[place]
            if place == 0:
                self.passed[tenant].clear()

    def serve(self, *_: int) -> None:
        if not self.turns.running:
            return
        self.turns.end()
        for tenant, queue in enumerate(self.queues):
            if queue and queue[0].done():
                queue.popleft()
                self._came(tenant)
        while not self.turns.waiting and self.turns.begin():
            pass  # as who comes then does

    def _came(self, tenant: int) -> None:
        for other, number in self.passed[tenant].items():
            share = Fraction(self.weights[other], self.weights[tenant])
            assert number <= share + len(self.weights), (other, number, share)
        self.passed[tenant].clear()
        for other, queue in enumerate(self.queues):
            if other != tenant and queue:
                self.passed[other][tenant] += 1

    def check(self) -> None:
        assert self.turns.waiting == sum(map(len, self.queues))
        assert self.turns.running == 2  # no place is left free while anybody waits
        assert not any(turn.done() for queue in self.queues for turn in queue)


@given(
    st.lists(st.sampled_from([1, 1, 2, 3, 10, 1000]), min_size=6, max_size=6),
    st.lists(_step, max_size=150),
)
def test_no_place_is_left_and_nobody_waits_for_more_than_the_others_shares(
    weights: list[int], steps: list[tuple[str, int, int]]
) -> None:
    async def live() -> None:
        life = _Life(weights)
        for what, tenant, number in steps:
            getattr(life, what)(tenant, number)
            life.check()
        while life.turns.waiting:
            life.serve()
        while life.turns.running:
            life.turns.end()
        assert (life.turns.running, life.turns.waiting) == (0, 0)

    asyncio.run(live())


async def test_tenants_that_are_gone_are_forgotten() -> None:
    engine = _full()
    for number in range(50_000):
        engine.turns.leave(engine.turns.join(f"tenant {number}"))
        if number == 0:
            engine.join("stays")
    held = [len(part) for part in vars(engine.turns).values() if isinstance(part, dict | list)]
    assert max(held) < 1000


async def test_callers_wait_by_their_tenant_and_their_plans_weight() -> None:
    """Through the layer: of two users, the one with the better plan has five times the turns."""
    world = context(limits=LimitsConfig(running=1, waiting=100, wait_seconds=600))
    came: list[str] = []
    go_on = asyncio.Semaphore(0)

    async def engine(scope: Scope, _receive: Receive, send: Send) -> None:
        came.append(scope["state"]["caller"].user)
        await go_on.acquire()
        await answer_json(send, 200, {})

    app = Admission(engine, world)
    plans = {"ann": Plan(name="gold", weight=5), "bob": Plan(name="free")}
    users = ["ann"] * 30 + ["bob"] * 30
    random.Random(1).shuffle(users)
    tasks: list[asyncio.Task[Exchange]] = []
    for user in users:
        exchange = Exchange(b"{}")
        note(exchange.scope, Caller("192.0.2.1", plans[user], user=user))
        tasks.append(asyncio.create_task(exchange.through(app)))
        await asyncio.sleep(0)
    for _ in users:
        go_on.release()
    await asyncio.gather(*tasks)
    assert abs(Counter(came[1:25])["ann"] - 20) <= 1
    assert world.turns.running == world.turns.waiting == 0


async def test_a_queue_that_one_fills_is_open_to_others_up_to_their_share() -> None:
    world = context(limits=LimitsConfig(running=1, waiting=4, wait_seconds=600))
    go_on = asyncio.Semaphore(0)

    async def engine(_scope: Scope, _receive: Receive, send: Send) -> None:
        await go_on.acquire()
        await answer_json(send, 200, {})

    app = Admission(engine, world)
    asked: list[tuple[str, asyncio.Task[Exchange]]] = []

    async def ask(user: str) -> None:
        exchange = Exchange(b"{}")
        note(exchange.scope, Caller("192.0.2.1", Plan(name="p"), user=user))
        asked.append((user, asyncio.create_task(exchange.through(app))))
        for _ in range(5):
            await asyncio.sleep(0)

    for user in ["flood"] * 7 + ["polite"] * 3:
        await ask(user)
    assert world.turns.waiting == 4
    for _ in asked:
        go_on.release()
    statuses = [(user, (await task).status) for user, task in asked]
    # One of the flood runs. Of the four places the polite one gets its half, the last ones' of the
    # flood; beyond its half it is refused as well.
    assert statuses == [
        *[("flood", 200)] * 3,
        *[("flood", 503)] * 4,
        *[("polite", 200)] * 2,
        ("polite", 503),
    ]
    assert world.turns.running == world.turns.waiting == 0
