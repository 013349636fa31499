"""A block that has a time: when it is over, who ended it, and what is left of it."""

import asyncio
import time

import pytest
from llmservice_server.gateway.deadline import Deadline


async def test_what_takes_longer_is_ended_and_what_does_not_is_left_alone() -> None:
    with pytest.raises(TimeoutError), Deadline(0.02):
        await asyncio.sleep(5)
    with Deadline(0.02):
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)  # nothing ends the task later
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_who_is_cancelled_by_another_is_not_late() -> None:
    async def wait() -> None:
        with Deadline(0.05):
            await asyncio.sleep(5)

    for cancels_in in (0.0, 0.01):
        task = asyncio.ensure_future(wait())
        await asyncio.sleep(cancels_in)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_who_is_late_and_cancelled_at_once_is_cancelled() -> None:
    async def wait() -> None:
        with Deadline(0.01):
            await asyncio.sleep(0)
            task.cancel()
            time.sleep(0.02)  # noqa: ASYNC251  so that both come before it goes on
            await asyncio.sleep(5)

    task = asyncio.ensure_future(wait())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_within_is_that_error() -> None:
    with pytest.raises(ValueError, match="x"), Deadline(5):
        raise ValueError("x")
