"""Slower, never a storm: a ceiling on requests, and an API server that asks to be left alone."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from llmservice_operator import pace as module
from llmservice_operator.client import ApiError, Client, Selection
from llmservice_operator.connection import Connection
from llmservice_operator.kinds import LEASE, POD
from llmservice_operator.pace import Pace

from tests.unit.controller.loopback import serving


async def _turns(pace: Pace, number: int) -> list[tuple[float, int]]:
    """When each of so many askers had its turn, in seconds since they asked."""
    began, taken = time.monotonic(), list[tuple[float, int]]()

    async def ask(asker: int) -> None:
        await pace.turn()
        taken.append((time.monotonic() - began, asker))

    await asyncio.gather(*(ask(asker) for asker in range(number)))
    return taken


async def test_more_than_the_ceiling_wait_their_turn_in_order() -> None:
    pace = Pace(100, time.monotonic)
    taken = await _turns(pace, 80)
    at_once = 100 * module.BURST
    assert (80 - at_once - 1) / 100 <= taken[-1][0] < 3
    # sleeps that end in one turn of the event loop may change places
    assert all(abs(asker - place) <= 2 for place, (_, asker) in enumerate(taken))


async def test_without_a_ceiling_nobody_waits() -> None:
    taken = await _turns(Pace(0, time.monotonic), 80)  # the control
    assert taken[-1][0] < 0.5


async def test_nobody_goes_while_the_server_asks_to_wait_and_then_not_all_at_once() -> None:
    pace = Pace(0, time.monotonic)
    pace.hold(0.5)
    times = [at for at, _ in await _turns(pace, 40)]
    assert times[0] >= 0.5
    assert times[-1] - times[0] > 0.2
    assert times[-1] < 2
    assert (await _turns(pace, 40))[-1][0] < 0.5, "the next ones go as ever"


async def test_those_who_wait_for_a_turn_wait_on_where_the_server_asks_meanwhile() -> None:
    pace = Pace(100, time.monotonic)
    waiting = asyncio.create_task(_turns(pace, 20))
    await asyncio.sleep(0.02)
    pace.hold(0.3)
    times = [at for at, _ in await waiting]
    assert not [at for at in times if 0.05 < at < 0.3]
    assert times[-1] >= 0.3


async def test_one_answer_holds_up_everybody_for_a_bounded_time() -> None:
    pace = Pace(0, lambda: 0.0)
    pace.hold(86400)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pace.turn(), 0.01)
    assert pace._held_until == module.LONGEST  # noqa: SLF001 - a clock that stands still


@asynccontextmanager
async def _throttling(headers: dict[str, str]) -> AsyncIterator[tuple[Client, list[str]]]:
    """A server that refuses the second request, and what it was asked for since."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append("watch" if "watch" in request.query else request.path.rpartition("/")[2])
        if len(asked) == 2:
            return web.Response(status=429, headers=headers, text="Too many requests")
        return web.json_response({})

    async with serving(answer) as address:
        client = Client(Connection(address, ssl.create_default_context()), lambda: None)
        yield client, asked
        await client.close()


@pytest.mark.parametrize("headers", [{"Retry-After": "1"}, {}])
async def test_a_server_that_throttles_is_left_alone_by_all_but_the_lease_and_the_watches(
    headers: dict[str, str],
) -> None:
    async with _throttling(headers) as (client, asked):

        async def work(name: str) -> None:
            while True:
                with suppress(ApiError):
                    await client.get(POD, "ns", name)
                await asyncio.sleep(0.01)

        workers = [asyncio.create_task(work(f"{number}")) for number in range(8)]
        while len(asked) < 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)  # what was on its way
        asked.append("then")
        await client.get(LEASE, "ns", "lease")
        async for _ in client.watch(Selection(POD), 1, 1, 1):
            pass
        await asyncio.sleep(0.5)
        later = asked[asked.index("then") + 1 :]
        for worker in workers:
            worker.cancel()
    if headers:
        assert later == ["lease", "watch"]
    else:
        assert len(later) > 50, "the control: it is not asked to wait"
