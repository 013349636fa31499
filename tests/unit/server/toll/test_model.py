"""The script in Redis does what the model in memory says, at whatever times and in whatever order.

Redis' clock is a key here, which a test sets.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from llmservice_server.config.redis import address_of
from llmservice_server.gateway.toll import redis as module
from llmservice_server.gateway.toll.clock import At, month_at
from llmservice_server.gateway.toll.counters import Charge, Order, Seed, Spent, Verdict, What
from llmservice_server.gateway.toll.memory import Counts
from llmservice_server.gateway.toll.redis import RedisCounters
from llmservice_server.gateway.toll.wire import Wire

from dev.redis import Redis
from tests.length import FULL
from tests.unit.server.toll.words import order

CLOCK = "tonumber(redis.call('GET', 'now'))"
_EVE = int(datetime(2031, 12, 31, 23, 58, tzinfo=UTC).timestamp() * 1000)
_LIMITS = {
    What.REQUESTS: 3,
    What.TOKENS: 100,
    What.RUNNING: 2,
    What.STREAMS: 1,
    What.MONTH_REQUESTS: 6,
    What.MONTH_TOKENS: 300,
}


class _Step(NamedTuple):
    what: str
    charges: tuple[Charge, ...]
    number: int
    seeded: bool


def _charge(what: What, cost: int, user: str) -> Charge:
    one = what not in {What.TOKENS, What.MONTH_TOKENS}
    limit = _LIMITS[what]
    counter = f"{user}:month" if what.startswith("monthly") else f"{user}:{what}"
    return Charge(counter, what, limit, 1 if one else cost, user)


@st.composite
def _charges(draw: Any) -> tuple[Charge, ...]:
    user = draw(st.sampled_from(["ann", "bob"]))
    whats = draw(st.lists(st.sampled_from(list(What)), unique=True, max_size=6))
    return tuple(_charge(what, draw(st.integers(0, 120)), user) for what in whats)


_steps = st.lists(
    st.builds(
        _Step,
        st.sampled_from(["take"] * 5 + ["settle"] * 3 + ["wait", "wait", "jump", "renew", "lose"]),
        _charges(),
        st.integers(0, 1000),
        st.booleans(),
    ),
    max_size=40,
)
_WAITS = (1, 17, 999, 5_000, 20_001, 59_999, 60_000, 61_000, 119_000, 3_600_000, 86_400_000 * 20)


class _Both:
    """The model, and Redis, at one time."""

    def __init__(self, url: str) -> None:
        self.now = _EVE
        self.model = Counts()
        self.redis = RedisCounters(address_of(url), "test", CLOCK)
        self.wire = Wire(address_of(url), 5)
        self.held: list[tuple[Order, Verdict]] = []

    @property
    def at(self) -> At:
        month, ends = month_at(self.now)
        return At(self.now, month, ends - self.now)

    async def take(self, step: _Step) -> None:
        seed = Seed(self.at.month, step.number % 4, step.number % 200) if step.seeded else None
        asked = order(*step.charges, seed=seed)
        verdict = await self.redis.take(asked)
        assert verdict._replace(shared=False) == self.model.take(self.at, asked)
        if verdict.refused is None and not verdict.unseeded:
            self.held.append((asked, verdict))

    async def settle(self, step: _Step) -> None:
        if not self.held:
            return
        asked, verdict = self.held.pop(step.number % len(self.held))
        spent = Spent(step.number % 2, None if step.seeded else step.number % 150)
        self.redis.settle(asked, verdict, spent)
        await self.redis.look()
        self.model.settle(self.at, asked, verdict, spent)

    async def wait(self, step: _Step) -> None:
        await self.set(self.now + _WAITS[step.number % len(_WAITS)])

    async def jump(self, step: _Step) -> None:
        """Back."""
        await self.set(max(self.now - _WAITS[step.number % len(_WAITS)], _EVE - 10**9))

    async def renew(self, _: _Step) -> None:
        await self.redis._renew()  # noqa: SLF001  as its own task does, at a time of ours
        places = [
            (charge.counter, asked.name)
            for asked, _ in self.held
            for charge in asked.charges
            if charge.what in {What.RUNNING, What.STREAMS}
        ]
        self.model.renew(self.at, places)

    async def lose(self, _: _Step) -> None:
        for name in await self.wire.call("KEYS", "*:month:*"):
            await self.wire.call("DEL", name)
        self.model.forget_months()

    async def set(self, now: int) -> None:
        self.now = now
        await self.wire.call("SET", "now", now)

    async def live(self, steps: list[_Step]) -> None:
        try:
            await self.wire.call("FLUSHALL")
            await self.set(self.now)
            for step in steps:
                await getattr(self, step.what)(step)
        finally:
            await self.redis.close()
            self.wire.close()


@contextmanager
def _no_time_passes() -> Iterator[None]:
    """Between telling what was spent and settling it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 1.0))
        yield


_REFUSED = _Step(
    "take", (_charge(What.REQUESTS, 1, "ann"), _charge(What.STREAMS, 1, "ann")), 0, seeded=False
)
_MOMENT = _Step("wait", (), 0, seeded=False)


@example(
    steps=[
        *(_REFUSED, _MOMENT, _REFUSED, _MOMENT._replace(what="jump")),
        _REFUSED._replace(charges=_REFUSED.charges[:1]),
    ]
)
@settings(
    max_examples=2000 if FULL else 150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(steps=_steps)
def test_redis_answers_as_the_model_whatever_happens_when(redis: Redis, steps: list[_Step]) -> None:
    async def live() -> None:
        await _Both(redis.url).live(steps)

    with _no_time_passes():
        asyncio.run(live())


@pytest.mark.parametrize(
    "date",
    [
        datetime(1999, 12, 31, 23, 59, 59, 999000, UTC),
        datetime(2000, 2, 29, 12, tzinfo=UTC),
        datetime(2026, 11, 22, 4, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 59, 59, 999000, UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
        datetime(2027, 2, 28, 23, tzinfo=UTC),
        datetime(2028, 2, 29, tzinfo=UTC),
        datetime(2028, 3, 1, tzinfo=UTC),
        datetime(2100, 2, 28, 1, tzinfo=UTC),
        datetime(2399, 12, 31, tzinfo=UTC),
        datetime(2400, 2, 29, tzinfo=UTC),
    ],
)
async def test_redis_knows_the_calendar(redis: Redis, date: datetime) -> None:
    both = _Both(redis.url)
    with _no_time_passes():
        both.now = int(date.timestamp() * 1000)
        charges = (_charge(What.MONTH_TOKENS, 1, "ann"),)
        await both.live([_Step("take", charges, 1, seeded) for seeded in (False, True, True)])
    assert both.held[0][1].month == f"{date:%Y-%m}"


@given(st.integers(31_536_000, 16_725_225_600))
def test_months_are_those_of_the_calendar_in_utc(seconds: int) -> None:
    date, ms = datetime.fromtimestamp(seconds, UTC), seconds * 1000
    month, ends = month_at(ms)
    assert month == f"{date:%Y-%m}"
    after = datetime.fromtimestamp(ends / 1000, UTC)
    assert (after.day, after.hour, after.minute, after.second) == (1, 0, 0, 0)
    assert month_at(ends - 1)[0] == month < month_at(ends)[0]
