"""A batch's parts side by side, as far as the engine has room.

The request has one place of those that the gateway lets run at once, and its parts go on in it one
after the other. A part that runs beside another has a place of its own: so a batch never takes more
of the engine than that many requests would, never keeps one that waits from its turn, and always
goes on.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from llmservice_server.gateway.turns import Turns

T = TypeVar("T")


async def together(
    number: int, most: int, turns: Turns, do: Callable[[int], Awaitable[T]]
) -> list[T]:
    """What ``do`` gives for 0 to number - 1, in that order; at most so many at once."""
    done: dict[int, T] = {}
    left = iter(range(number))
    places = 1

    async with asyncio.TaskGroup() as group:

        async def go_on() -> None:
            nonlocal places
            for part in left:
                if places < min(most, number) and turns.begin():
                    places += 1
                    group.create_task(go_on()).add_done_callback(give_back)
                done[part] = await do(part)

        def give_back(_: object) -> None:  # also of one that was cancelled before it began
            nonlocal places
            places -= 1
            turns.end()

        await go_on()
    return [done[part] for part in range(number)]
