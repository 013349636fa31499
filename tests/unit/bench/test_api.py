"""Many requests, so many at once."""

import asyncio

import pytest

from bench.operator.api import all_of


async def test_so_many_requests_run_at_once_and_no_more() -> None:
    running, most, done = 0, 0, 0

    async def request() -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        done += 1

    await all_of("requests", (request() for _ in range(20)), at_once=4)
    assert (most, done) == (4, 20)


async def test_the_first_error_ends_it() -> None:
    async def request(number: int) -> None:
        if number == 3:
            raise ValueError(number)

    with pytest.raises(ExceptionGroup):
        await all_of("requests", (request(number) for number in range(9)), at_once=2)
