"""What a client is told of its limits: OpenAI's headers, and why it is refused; pure.

The headers tell of the tightest limit on requests and on tokens. ``Retry-After`` is when the
request would pass, were it alone; where waiting is in vain for long, ``x-should-retry: false`` says
so to OpenAI's clients.
"""

from typing import NamedTuple

from llmservice_server.gateway.asgi import Headers
from llmservice_server.gateway.toll.counters import MINUTE, Charge, Order, Verdict, What

_TOLD = {What.REQUESTS: "requests", What.TOKENS: "tokens"}
_IN_VAIN = (b"x-should-retry", b"false")
_PATIENCE = 3600  # seconds: who is told to wait for longer shall not try again


class Refusal(NamedTuple):
    kind: str
    message: str
    headers: Headers


def headers(order: Order, verdict: Verdict) -> list[tuple[bytes, bytes]]:
    """x-ratelimit-* after this order."""
    taken = verdict.refused is None
    found: list[tuple[bytes, bytes]] = []
    for what, name in _TOLD.items():
        tightest: tuple[int, int, int] | None = None
        for charge, (left, reset) in zip(order.charges, verdict.left, strict=True):
            if charge.what is what:
                cost = charge.cost if taken else 0
                after = (left - cost, charge.limit, reset + cost * MINUTE // charge.limit)
                tightest = after if tightest is None else min(tightest, after)
        if tightest is not None:
            remaining, limit, reset = tightest
            found += (
                (b"x-ratelimit-limit-%b" % name.encode(), b"%d" % limit),
                (b"x-ratelimit-remaining-%b" % name.encode(), b"%d" % max(remaining, 0)),
                (b"x-ratelimit-reset-%b" % name.encode(), duration(reset).encode()),
            )
    return found


def duration(ms: int) -> str:
    """As OpenAI writes it: 120ms, 7.66s, 6m0s."""
    if ms < 1000:
        return f"{ms}ms"
    minutes, rest = divmod(ms, MINUTE)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def refusal(order: Order, verdict: Verdict, refused: int) -> Refusal:
    """Of an order that a charge holds up."""
    charge, (left, _) = order.charges[refused], verdict.left[refused]
    wait = max(-(-verdict.wait_ms // 1000), 1)
    told = [*headers(order, verdict), (b"retry-after", b"%d" % wait)]
    if wait > _PATIENCE:
        told.append(_IN_VAIN)
    kind = "rate_limit_exceeded"
    if charge.what is What.REQUESTS:
        message = f"{_of(charge)} {charge.limit} requests a minute; try again in {wait} s."
    elif charge.what is What.TOKENS:
        message = (
            f"{_of(charge)} {charge.limit} tokens a minute. {left} are left and this request "
            f"reserves {charge.cost}; try again in {wait} s, or ask for a shorter answer."
        )
    elif charge.what in {What.RUNNING, What.STREAMS}:
        what = "requests" if charge.what is What.RUNNING else "streams"
        message = f"{_of(charge)} {charge.limit} {what} at a time; wait for one to end."
    else:
        kind = "insufficient_quota"
        what = "requests" if charge.what is What.MONTH_REQUESTS else "tokens"
        message = (
            f"The quota of {charge.limit} {what} in {verdict.month} is used up: {left} are left and"
            f" this request needs {charge.cost}. A new month begins at midnight UTC of its first."
        )
    return Refusal(kind, message, told)


def too_large(charge: Charge) -> Refusal:
    """Of a request that needs more than a whole minute has."""
    message = (
        f"{_of(charge)} {charge.limit} tokens a minute, and this request alone reserves "
        f"{charge.cost}; send a shorter prompt or ask for a shorter answer."
    )
    return Refusal("rate_limit_exceeded", message, [(b"retry-after", b"60"), _IN_VAIN])


def _of(charge: Charge) -> str:
    return f"{charge.of[0].upper()}{charge.of[1:]} has"
