"""Models that a key or a plan allows, wherever a request names one."""

import json

import pytest
from llmservice_server.config import Plan
from llmservice_server.gateway.asgi import Receive, Scope, Send, answer_json
from llmservice_server.gateway.caller import Caller, Scopes, note
from llmservice_server.gateway.identity.models import Models
from llmservice_server.gateway.sanitize import Sanitize

from tests.unit.server.layer import Exchange, context

_ALL = Plan(name="all")
_CHEAP = Plan(name="cheap", models=("small", "tuned"))
_JSON = {"content-type": "application/json"}
_BOUNDARY = {"content-type": "multipart/form-data; boundary=b"}


async def _engine(_: Scope, receive: Receive, send: Send) -> None:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await answer_json(send, 200, {"error": {"bytes": len(body)}})


async def _asked(
    plan: Plan,
    *chunks: bytes,
    scopes: Scopes | None = None,
    headers: dict[str, str] | None = None,
    method: str = "POST",
    path: str = "/v1/completions",
    query: bytes = b"",
    kind: str = "http",
) -> Exchange:
    made = context()
    exchange = Exchange(
        *chunks, headers=_JSON if headers is None else headers, method=method, path=path, kind=kind
    )
    exchange.scope["query_string"] = query
    note(exchange.scope, Caller("192.0.2.1", plan, "k", "ada", scopes=scopes or Scopes()))
    return await exchange.through(Sanitize(Models(_engine, made), made))


def _body(**fields: object) -> bytes:
    return json.dumps({"prompt": "x", **fields}).encode()


@pytest.mark.parametrize("model", ["small", "tuned", None])
async def test_a_model_that_the_plan_has_is_asked_and_without_one_the_first(
    model: str | None,
) -> None:
    body = _body(**({"model": model} if model else {}))
    answer = await _asked(_CHEAP, body)
    assert (answer.status, answer.error) == (200, {"bytes": len(body)})


@pytest.mark.parametrize("model", ["large", "", "Small", "small ", 7, ["small"], {"a": "small"}])
async def test_another_one_is_refused(model: object) -> None:
    refused = await _asked(_CHEAP, _body(model=model))
    assert (refused.status, refused.error["code"]) == (403, "permission_error")
    assert (await _asked(_ALL, _body(model=model))).status == 200


async def test_a_key_may_be_made_for_fewer_models_than_its_plan_has() -> None:
    tuned = Scopes(models=frozenset({"tuned", "large"}))
    assert (await _asked(_CHEAP, _body(model="tuned"), scopes=tuned)).status == 200
    for other in ("small", "large"):
        assert (await _asked(_CHEAP, _body(model=other), scopes=tuned)).status == 403
    assert (await _asked(_ALL, _body(model="large"), scopes=tuned)).status == 200
    assert (await _asked(_ALL, _body(), scopes=tuned)).status == 403  # the first is small


async def test_the_last_of_two_names_counts_as_it_does_for_the_engine() -> None:
    assert (await _asked(_CHEAP, b'{"model": "small", "model": "large"}')).status == 403


async def test_a_name_in_the_query_or_a_header_counts_too() -> None:
    stream = {"method": "GET", "path": "/stream"}
    assert (await _asked(_CHEAP, query=b"prompt=x&model=large", **stream)).status == 403
    assert (await _asked(_CHEAP, query=b"model=small&model=large", **stream)).status == 403
    assert (await _asked(_CHEAP, query=b"model=tuned", **stream)).status == 200
    assert (await _asked(_CHEAP, query=b"prompt=x", **stream)).status == 200
    adapter = {**_JSON, "x-amzn-sagemaker-adapter-identifier": "large"}
    assert (await _asked(_CHEAP, _body(), headers=adapter, path="/invocations")).status == 403


def _form(*parts: str) -> bytes:
    return "".join(f"--b\r\n{part}\r\n" for part in parts).encode() + b"--b--\r\n"


def _field(value: str, name: str = 'name="model"') -> str:
    return f"Content-Disposition: form-data; {name}\r\n\r\n{value}"


@pytest.mark.parametrize(
    ("form", "status"),
    [
        (_form(_field("small")), 200),
        (_form(_field("x", 'name="language"')), 200),
        (_form(_field("large")), 403),
        (_form(_field("small"), _field("large")), 403),
        (_form(_field("large"), _field("small")), 403),
        (_form(_field("large", "name=model")), 403),
        (_form(_field("small", 'name="model"; filename="x"')), 403),
        (_form(_field("large", 'NAME = "model"')), 403),
    ],
)
async def test_a_form_is_read_as_the_engine_reads_it_and_goes_on_whole(
    form: bytes, status: int
) -> None:
    answer = await _asked(_CHEAP, form, headers=_BOUNDARY, path="/v1/audio/transcriptions")
    assert answer.status == status
    if status == 200:
        assert answer.error == {"bytes": len(form)}
    free = await _asked(_ALL, form, headers=_BOUNDARY, path="/v1/audio/transcriptions")
    assert free.error == {"bytes": len(form)}


async def test_what_names_no_model_is_asked_and_a_websocket_names_it_too_late() -> None:
    assert (await _asked(_CHEAP, method="GET", path="/v1/models")).status == 200
    closed = await _asked(_CHEAP, kind="websocket", path="/v1/realtime")
    assert closed.sent == [{"type": "websocket.close", "code": 1008}]
