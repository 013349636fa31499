"""Which messages of a conversation go to the model; pure, but for asking how long they are.

The system's messages stay. Of the others the newest do, as many as fit and at least the last one:
what does not fit even so, the engine refuses in its own words. What remains begins with the user's
words, as the templates of many models demand, if anything was left out.
"""

from collections.abc import Awaitable, Callable
from typing import Literal

from pydantic import BaseModel

from llmservice_server.api.fields import Text


class Said(BaseModel):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


Fits = Callable[[list[Said]], Awaitable[bool]]


def newest(messages: list[Said], count: int) -> list[Said]:
    """The system's messages and the newest others, ``count`` at most."""
    others = [message for message in messages if message.role != "system"]
    if len(others) <= count:
        return messages
    kept = others[len(others) - count :]
    while len(kept) > 1 and kept[0].role == "assistant":
        kept = kept[1:]
    return [message for message in messages if message.role == "system"] + kept


async def fitting(messages: list[Said], fits: Fits) -> list[Said]:
    """As many of the newest as fit: one question where all do, else one for each halving."""
    most = sum(message.role != "system" for message in messages)
    if most <= 1 or await fits(messages):
        return messages
    fewest = 1
    while fewest < most - 1:
        middle = (fewest + most) // 2
        if await fits(newest(messages, middle)):
            fewest = middle
        else:
            most = middle
    return newest(messages, fewest)


def estimate(messages: list[Said]) -> int:
    """Tokens where the engine does not count them: rather too many than too few.

    One for two bytes of UTF-8, where English takes four bytes a token and Chinese two to three, and
    eight for what a template puts around each message.
    """
    return sum(len(m.content.encode()) // 2 + 9 for m in messages)


def certainly(messages: list[Said]) -> int:
    """Tokens that they cannot exceed: one a byte, and sixteen around each message."""
    return sum(len(m.content.encode()) + 16 for m in messages) + 64
