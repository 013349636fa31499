"""What our server owes to whatever it is sent: an answer, never a 500, in its route's shape."""

import asyncio
import re
from collections.abc import Collection, Iterable

import httpx2

from tests.fuzz.wire import Answer, Hang, answers

_OPENAI = {"message", "type", "param", "code"}
_PREDICT = {"error", "message", "details", "timestamp", "request_id"}
_PROBES = frozenset({"/livez", "/readyz", "/health", "/status"})
_BUSY = 503
_GAUGES = re.compile(
    r"^((?:llmservice_requests_(?:in_flight|waiting)|vllm:num_requests_\w+)(?:\{.*\})?) (\S+)$",
    re.MULTILINE,
)


def faults(
    path: str, received: bytes | Hang, *, method: str = "POST", may: Collection[int] = ()
) -> list[str]:
    """How the promise is broken; may: statuses that are an upstream's, or known of an engine."""
    if isinstance(received, Hang):
        return [str(received)]
    try:
        given = answers(received, to_head=method == "HEAD")
    except ValueError as error:
        return [str(error)]
    return [fault for each in given for fault in _faults(path, each, method, may)]


def _faults(path: str, answer: Answer, method: str, may: Collection[int]) -> Iterable[str]:
    status = answer.status
    if status not in {*may, _BUSY} and (status >= 500 or status == 422):
        yield f"{status}: {answer.body[:500]!r}"
    if not answer.whole:
        yield f"{status}, cut off: {answer.body[-300:]!r}"
    if method == "HEAD":
        return
    fault = _misshapen(path, answer) if status >= 400 else _unreadable(path, answer, may=bool(may))
    if fault:
        yield f"{status}, {fault}: {answer.body[:500]!r}"
    if status in {429, _BUSY} and "retry-after" not in answer.headers and path not in _PROBES:
        yield f"{status} without Retry-After"


def _unreadable(path: str, answer: Answer, *, may: bool) -> str | None:
    """Why a client cannot read an answer that is no error; what an upstream says is forwarded."""
    kind = answer.headers.get("content-type", "")
    if kind.startswith("application/json") and not (may and path.startswith("/v1/")):
        try:
            answer.json()
        except ValueError as error:
            return str(error)
    elif kind.startswith("text/event-stream"):
        if not may and b'data: {"error"' in answer.body:
            return "a stream that fails"
        if not answer.body.endswith(b"\n\n"):
            return "a stream without an end"
    return None


def _misshapen(path: str, answer: Answer) -> str | None:
    """Of an error, what its shape lacks."""
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return "no JSON"
    try:
        body = answer.json()
    except ValueError as error:
        return str(error)
    if not isinstance(body, dict):
        return "no object"
    bare = path.partition("?")[0]
    if bare in _PROBES and answer.status == _BUSY:
        return None if "status" in body else "no status"
    # Without an id it is the connection's, which was closed before anybody knew of a route.
    if bare in {"/predict", "/predict/batch"} and "x-request-id" in answer.headers:
        right = body.keys() == _PREDICT and all(isinstance(body[n], str) for n in _STRINGS)
        return None if right else "not /predict's shape"
    error = body.get("error")
    if bare.startswith("/v1/messages") and body.get("type") == "error":  # Anthropic's own
        return (
            None if isinstance(error, dict) and error.keys() >= {"type", "message"} else "no error"
        )
    if body.keys() != {"error"} or not isinstance(error, dict) or not error.keys() >= _OPENAI:
        return "not OpenAI's shape"
    return None if isinstance(error["message"], str) and error["message"] else "no message"


_STRINGS = ("error", "message", "timestamp")


async def at_rest(url: str, seconds: float = 10) -> None:
    """Nothing runs and nothing waits any more, as /metrics says.

    Raises:
        AssertionError: something is still counted.
    """
    left: object = "everything, since nothing was answered"
    async with httpx2.AsyncClient(base_url=url, timeout=seconds) as client:
        try:
            async with asyncio.timeout(seconds):
                while left := _counted((await client.get("/metrics")).text):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"still counted after {seconds} s: {left}") from None


def _counted(metrics: str) -> dict[str, str]:
    gauges = dict(_GAUGES.findall(metrics))
    assert any(name.startswith("llmservice_requests_in_flight") for name in gauges), metrics[:500]
    return {name: value for name, value in gauges.items() if float(value)}
