"""The work queue: one entry a key, one worker a key, back-off that grows and ends."""

import asyncio
from typing import Any

import pytest
from llmservice_operator import queue as module
from llmservice_operator.queue import Queue


async def _next(queue: Queue[str], seconds: float = 1.0) -> str:
    return await asyncio.wait_for(queue.get(), seconds)


async def test_a_key_added_twice_is_handed_out_once() -> None:
    queue = Queue[str]()
    queue.add("a")
    queue.add("a")
    assert await _next(queue) == "a"
    assert len(queue) == 0


async def test_keys_come_in_the_order_in_which_they_were_added() -> None:
    queue = Queue[str]()
    for key in ("b", "a", "c"):
        queue.add(key)
    assert [await _next(queue) for _ in range(3)] == ["b", "a", "c"]


async def test_a_key_added_while_a_worker_holds_it_waits_for_that_worker() -> None:
    queue = Queue[str]()
    queue.add("a")
    held = await _next(queue)
    queue.add("a")
    with pytest.raises(TimeoutError):
        await _next(queue, 0.05)
    queue.done(held)
    assert await _next(queue) == "a"


async def test_a_key_is_never_with_two_workers_at_once() -> None:
    queue, held, rounds = Queue[int](), set[int](), 0

    async def work() -> None:
        nonlocal rounds
        while True:
            key = await queue.get()
            assert key not in held
            held.add(key)
            queue.add(key)  # an event while it is being worked on
            await asyncio.sleep(0)
            held.discard(key)
            queue.done(key)
            rounds += 1

    for key in range(5):
        queue.add(key)
    workers = [asyncio.create_task(work()) for _ in range(4)]
    await asyncio.sleep(0.05)
    for worker in workers:
        worker.cancel()
    outcomes = await asyncio.gather(*workers, return_exceptions=True)
    assert all(isinstance(o, asyncio.CancelledError) for o in outcomes), outcomes
    assert rounds > 20


async def test_back_off_doubles_up_to_its_cap_and_starts_anew_after_a_success() -> None:
    queue = Queue[str]()
    waits = [queue.retry("a") for _ in range(14)]
    for number, seconds in enumerate(waits):
        base = min(module.FIRST_RETRY * 2**number, module.LONGEST_RETRY)
        assert base / 2 <= seconds <= base
    queue.forget("a")
    assert queue.retry("a") <= module.FIRST_RETRY
    assert queue.retry("a", at_least=99) == 99  # what the server asks for


async def test_a_key_that_fails_for_days_is_still_retried() -> None:
    queue = Queue[str]()
    waits = [queue.retry("a") for _ in range(2000)]
    assert waits[-1] <= module.LONGEST_RETRY


async def test_two_keys_that_fail_together_do_not_come_back_together() -> None:
    queue = Queue[int]()
    assert len({queue.retry(key) for key in range(20)}) > 15


async def test_the_earlier_of_two_delays_counts_and_an_event_ends_both() -> None:
    queue = Queue[str]()
    queue.add_after("a", 60)
    queue.add_after("a", 0.01)
    queue.add_after("a", 60)
    assert await _next(queue) == "a"
    queue.done("a")

    queue.add_after("a", 60)
    queue.add("a")
    assert await _next(queue, 0.05) == "a"
    queue.done("a")
    with pytest.raises(TimeoutError):
        await _next(queue, 0.05)


async def test_a_key_that_fails_does_not_hold_up_the_others() -> None:
    queue = Queue[str]()
    queue.add("bad")
    queue.retry(await _next(queue))
    queue.done("bad")
    queue.add("good")
    assert await _next(queue, 0.05) == "good"


async def test_nothing_is_kept_of_a_key_that_succeeded() -> None:
    queue = Queue[str]()
    for number in range(100):
        queue.add(f"{number}")
        key = await _next(queue)
        queue.retry(key)
        queue.add(key)
        queue.done(key)
        queue.done(await _next(queue))
        queue.forget(key)
    kept: list[Any] = [value for value in vars(queue).values() if isinstance(value, dict | set)]
    assert kept
    assert not any(kept)


async def test_a_time_too_short_to_measure_is_waited_for_as_any_other() -> None:
    queue = Queue[str]()
    queue.add_after("a", 0.0)
    queue.add_after("a", 0.0001)
    queue.add_after("a", 60)
    assert await _next(queue) == "a"
