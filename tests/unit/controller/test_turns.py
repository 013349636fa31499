"""No namespace starves another: turns among them, and a bound on the workers that one may hold."""

import asyncio
from collections.abc import Callable

import pytest
from llmservice_operator.queue import Queue
from llmservice_operator.records import Key

_SLOW = 0.2  # seconds that a key of the busy namespace takes
_WORKERS = 8


def _namespace(key: Key) -> str:
    return key.namespace


def _together(_: Key) -> str:
    return ""


def _filled(queue: Queue[Key], namespace: str, number: int) -> None:
    for name in range(number):
        queue.add(Key(namespace, f"{name}"))


async def _order(queue: Queue[Key], number: int, *, held: bool = False) -> str:
    """The namespaces of the next keys."""
    order = ""
    for _ in range(number):
        key = await asyncio.wait_for(queue.get(), 1)
        order += key.namespace
        if not held:
            queue.done(key)
    return order


async def test_namespaces_take_turns_however_many_keys_each_has() -> None:
    queue = Queue[Key](_namespace)
    for namespace, number in (("a", 100), ("b", 2), ("c", 3)):
        _filled(queue, namespace, number)
    assert await _order(queue, 10) == "abcabcacaa"


async def test_without_groups_the_last_namespace_waits_for_all_keys_of_the_first() -> None:
    queue = Queue[Key](_together)  # the control
    _filled(queue, "a", 100)
    _filled(queue, "b", 1)
    assert await _order(queue, 101) == "a" * 100 + "b"


async def test_the_namespace_that_has_the_fewest_workers_is_next() -> None:
    queue = Queue[Key](_namespace)
    _filled(queue, "a", 9)
    assert await _order(queue, 3, held=True) == "aaa"
    _filled(queue, "b", 9)
    assert await _order(queue, 7, held=True) == "bbbabab"


async def test_at_its_most_a_namespace_gets_no_more_and_another_one_at_once() -> None:
    queue = Queue[Key](_namespace, most=2)
    _filled(queue, "a", 3)
    assert await _order(queue, 2, held=True) == "aa"
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    _filled(queue, "b", 1)
    assert (await asyncio.wait_for(waiting, 1)).namespace == "b"

    another = asyncio.create_task(queue.get())
    await asyncio.sleep(0.01)
    assert not another.done()
    queue.done(Key("a", "0"))
    assert await asyncio.wait_for(another, 1) == Key("a", "2")


@pytest.mark.parametrize(("group_of", "most"), [(_namespace, 7), (_together, float("inf"))])
async def test_a_slow_namespace_delays_no_other(
    group_of: Callable[[Key], str], most: float
) -> None:
    queue, loop = Queue[Key](group_of, most), asyncio.get_running_loop()
    waited: list[float] = []
    added: dict[Key, float] = {}

    async def work() -> None:
        while True:
            key = await queue.get()
            if key.namespace == "b":
                waited.append(loop.time() - added[key])
            else:
                await asyncio.sleep(_SLOW)
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(_WORKERS)]
    _filled(queue, "a", 12 * _WORKERS)
    for number in range(5):
        await asyncio.sleep(_SLOW / 8)
        added[key := Key("b", f"{number}")] = loop.time()
        queue.add(key)
    async with asyncio.timeout(10):
        while len(waited) < 5:
            await asyncio.sleep(0.01)
    for worker in workers:
        worker.cancel()
    if group_of is _together:
        assert min(waited) > 5 * _SLOW, "the control: all of the slow ones come first"
    else:
        assert max(waited) < _SLOW / 2


async def test_a_worker_that_is_ended_while_it_waits_takes_no_key_with_it() -> None:
    queue = Queue[Key](_namespace)
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    _filled(queue, "a", 1)  # the first is told, and ended before it could look
    first.cancel()
    assert await asyncio.wait_for(second, 1) == Key("a", "0")
