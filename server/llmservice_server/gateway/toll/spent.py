"""What a request has really used, once it is over; pure.

What the engine says is believed. Where it says nothing: of a stream each event is a token, and the
prompt as it was estimated; an answer that was refused or failed used nothing; of another one that
its client did not wait for nobody knows how far it was, so that it stays charged as reserved.
"""

from typing import NamedTuple

from llmservice_server.gateway.toll.counters import Spent
from llmservice_server.gateway.usage import Usage


class Outcome(NamedTuple):
    """``events``: of a stream, as many as were sent. ``whole``: the answer came to its end."""

    status: int
    usage: Usage | None
    streaming: bool = False
    whole: bool = True
    left: bool = False
    events: int = 0


def usage_of(outcome: Outcome, prompt: int) -> Usage | None:
    """Tokens, of a prompt that was estimated so; None where that cannot be known."""
    if outcome.usage is not None:
        return outcome.usage
    if outcome.streaming:
        began = outcome.events or outcome.left
        return Usage(prompt, outcome.events) if began else Usage(0, 0)
    if outcome.left:
        return None
    if outcome.status >= 400 or not outcome.whole:
        return Usage(0, 0)
    return Usage(prompt, 0)


def spent(outcome: Outcome, usage: Usage | None) -> Spent:
    """A request that was refused or failed before any token is none."""
    if usage is None:
        return Spent(1, None)
    used = sum(usage)
    failed = outcome.status >= 400 or not outcome.whole
    return Spent(0 if failed and not used else 1, used)
