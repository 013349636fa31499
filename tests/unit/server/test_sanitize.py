"""What reaches the engine of a request, and what is refused before the engine hears of it."""

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmservice_server.config import HttpConfig
from llmservice_server.gateway.asgi import Receive, Scope, Send, answer_json
from llmservice_server.gateway.json_body import MOST_CONTAINERS, MOST_VALUES, parsed
from llmservice_server.gateway.sanitize import Sanitize, document_of

from tests.unit.server.layer import Exchange, context

_HTTP = HttpConfig(max_body_bytes=1000, max_header_bytes=1024, body_seconds=1)
_JSON = {"content-type": "application/json"}


@dataclass
class _Engine:
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.body = (await receive()).get("body")
        await answer_json(send, 200, {})


def _sanitize() -> tuple[Sanitize, _Engine]:
    engine = _Engine()
    return Sanitize(engine, context(http=_HTTP)), engine


async def _refused(exchange: Exchange) -> tuple[int, str]:
    """Status and type of the refusal; the client leaves when it has it."""
    layer, engine = _sanitize()
    exchange.gone.set()
    await exchange.through(layer)
    assert engine.body is None
    return exchange.status, exchange.error["type"]


async def test_a_body_without_internal_fields_passes_as_the_bytes_that_came() -> None:
    layer, engine = _sanitize()
    odd = b'{ "prompt" : "x",\n"prompt":"\\u00e9" , "n": 1.0 }'
    await Exchange(odd, headers=_JSON).through(layer)
    assert engine.body is odd


@pytest.mark.parametrize(
    "name", ["priority", "kv_transfer_params", "ec_transfer_params", "vllm_xargs", "cache_salt"]
)
async def test_internal_fields_are_taken_out_however_they_are_spelled(name: str) -> None:
    layer, engine = _sanitize()
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in name)
    body = f'{{"{name}": 1, "prompt": "é", "{escaped}": -9, "seed": 18446744073709551615}}'
    await Exchange(body.encode(), headers=_JSON).through(layer)
    assert engine.body
    assert json.loads(engine.body) == {"prompt": "é", "seed": 2**64 - 1}
    assert engine.headers["content-length"] == str(len(engine.body))


@pytest.mark.parametrize(
    ("body", "kind", "noted"),
    [
        (b'{"model": "m", "n": 1, "n": 2}', "application/json", {"model": "m", "n": 2}),
        (b'{"model": "m", "priority": 1}', "application/json", {"model": "m"}),
        (b'{"m": [1]}', "application/vnd.x+json", {"m": [1]}),
        (b'["model", "m"]', "application/json", None),
        (
            b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n--x--',
            "multipart/form-data; boundary=x",
            None,
        ),
        (b"", "application/json", None),
    ],
)
async def test_what_a_body_says_is_noted_as_the_engine_will_read_it(
    body: bytes, kind: str, noted: object
) -> None:
    seen: list[object] = []

    async def engine(scope: Scope, _receive: Receive, send: Send) -> None:
        seen.append(document_of(scope))
        await answer_json(send, 200, {})

    layer = Sanitize(engine, context(http=_HTTP))
    await Exchange(body, headers={"content-type": kind}).through(layer)
    assert seen == [noted]


async def test_a_field_of_that_name_in_a_message_stays() -> None:
    layer, engine = _sanitize()
    body = b'{"messages": [{"content": "priority", "priority": 1}]}'
    await Exchange(body, headers=_JSON).through(layer)
    assert engine.body == body


async def test_internal_headers_are_taken_out_and_others_stay() -> None:
    layer, engine = _sanitize()
    ours = {"X-Vllm-Priority": "-1", "x-vllm-anything": "1", "X-data-parallel-rank": "3"}
    others = {"authorization": "Bearer k", "x-session-id": "s", "x-vllmish": "1"}
    await Exchange(b"{}", headers=ours | others).through(layer)
    assert engine.headers == others | {"content-length": "2"}


_FORM = {"content-type": "multipart/form-data; boundary=b"}
_PART = b"--b\r\ncontent-disposition: form-data; %s\r\n\r\n{}\r\n--b--"


async def _is_refused_for_its_field(exchange: Exchange) -> None:
    assert await _refused(exchange) == (400, "invalid_request_error")
    assert "vllm_xargs is not for clients" in exchange.error["message"]


@pytest.mark.parametrize(
    "named",
    [
        b'name="vllm_xargs"',
        b"name=vllm_xargs",
        b'name = "vllm_xargs"',
        b'NAME="vllm_xargs"',
        b'name=\t"vllm_xargs"',
        b'name=""; name="vllm_xargs"',
        b'name="vllm_xargs"; filename="f"',
    ],
)
async def test_an_upload_that_names_an_internal_field_is_refused(named: bytes) -> None:
    await _is_refused_for_its_field(Exchange(_PART % named, headers=_FORM))


async def test_an_upload_that_names_it_in_another_charset_is_refused() -> None:
    form = {"content-type": "multipart/form-data; boundary=b; charset=cp037"}
    name = "vllm_xargs".encode("cp037")
    await _is_refused_for_its_field(Exchange(_PART % b'name="%s"' % name, headers=form))


async def test_an_upload_that_names_none_passes_whatever_its_values_say() -> None:
    layer, engine = _sanitize()
    body = _PART.replace(b"{}", b'name="vllm_xargs"') % b'name="model"'
    await Exchange(body, headers=_FORM).through(layer)
    assert engine.body == body


async def test_what_is_no_form_is_refused() -> None:
    refused = await _refused(Exchange(b"no form at all", headers=_FORM))
    assert refused == (400, "invalid_request_error")


async def test_a_body_of_two_types_is_refused() -> None:
    """The engine could read it as the other one."""
    exchange = Exchange(_PART % b'name="model"', headers=_JSON)
    exchange.scope["headers"].append((b"content-type", _FORM["content-type"].encode()))
    assert await _refused(exchange) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "EOF"),
        (b"\xff{}", "expected value"),
        (b'{"a": "\xc3\x28"}', "unicode"),
        (b'{"a": "\\ud800"}', "hex escape"),
        ('{"a": "é"}'.encode("utf-16"), "expected value"),
        (b'{"a": NaN}', "has NaN or Infinity"),
        (b'{"a": [Infinity]}', "has NaN or Infinity"),
        (b'{"a": -Infinity}', "has NaN or Infinity"),
        (b'{"a": NaN, "b"}', "expected `:`"),
        (b'{"a": 1e999}', "64 bits"),
        (b'{"a": -1E+999}', "64 bits"),
        (b'{"a": 0.1e0999}', "64 bits"),
        (b'{"a": ' + b"9" * 400 + b".5}", "64 bits"),
        (b'{"a": 18446744073709551616}', "64 bits"),
        (b'{"a": -9223372036854775809}', "64 bits"),
        (b'{"a": [' + b"9" * 900 + b"]}", "64 bits"),
        (b"[" * 400 + b"]" * 400, "recursion limit"),
        (b'{"a":[' * 120 + b"]}" * 120, "recursion limit"),
    ],
)
async def test_json_that_an_engine_could_stumble_over_is_refused(body: bytes, says: str) -> None:
    layer, engine = _sanitize()
    exchange = await Exchange(body, headers=_JSON).through(layer)
    assert exchange.status == 400
    assert says in exchange.error["message"]
    assert engine.body is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": [%s1]}' % (b"[]," * MOST_CONTAINERS),
        b'{"a": [%s1]}' % (b"{}," * MOST_CONTAINERS),
        b'{"a": [%s1]}' % (b"1," * MOST_VALUES),
        b'{"\\"": [%s"\\"[[["]}' % (b"[]," * MOST_CONTAINERS),
        b'{"a": [%s"' % (b"[]," * MOST_CONTAINERS) + b'\\"' * 100_000,
    ],
    ids=["lists", "objects", "numbers", "after a text", "without an end"],
)
def test_more_values_than_can_be_read_at_once_are_refused(body: bytes) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match="values"):
        parsed(body)
    assert time.process_time() - began < 5  # not again for each quotation mark


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": "%s", "b\\"": "\\\\"}' % (b'[{,\\"' * MOST_VALUES),
        b"[%s1]" % (b"12345," * 300_000),
    ],
    ids=["in a text", "tokens"],
)
def test_long_texts_and_many_tokens_pass(body: bytes) -> None:
    parsed(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100 + b"]" * 100,
        b'{"a": 18446744073709551615, "b": -9223372036854775808}',
        b'{"a": "1e999 and 99999999999999999999999"}',
        b'{"a": 1e-999, "b": 1e300, "c": 0.1000000000000000055511151231257827}',
    ],
)
async def test_json_that_only_looks_like_that_passes(body: bytes) -> None:
    layer, engine = _sanitize()
    await Exchange(body, headers=_JSON).through(layer)
    assert engine.body is body


_leaf = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text()
_leaf |= st.floats(allow_nan=False, allow_infinity=False)
_document = st.recursive(
    _leaf, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


@given(_document, st.booleans())
def test_every_document_of_64_bit_numbers_passes(document: Any, ascii_only: bool) -> None:  # noqa: FBT001
    try:
        body = json.dumps(document, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return  # lone surrogates
    assert parsed(body) == document


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_what_is_refused(body: bytes) -> None:
    with suppress(ValueError):
        parsed(body)


async def test_a_body_is_bounded_by_what_it_says_and_by_what_comes() -> None:
    large = (413, "payload_too_large")
    assert await _refused(Exchange(b"x", headers={"content-length": "1001"})) == large
    assert await _refused(Exchange(b"x", headers={"content-length": "9" * 5000})) == (
        431,
        "request_header_fields_too_large",
    )
    chunked = {"transfer-encoding": "chunked"}
    many = [b"x" * 100] * 11
    assert await _refused(Exchange(*many, headers=chunked, measured=False)) == large
    layer, engine = _sanitize()
    whole = [b'["', *[b"x" * 100] * 9, b'"]']
    await Exchange(*whole, headers=chunked, measured=False).through(layer)
    assert engine.body == b"".join(whole)


async def test_a_head_is_bounded() -> None:
    exchange = Exchange(method="GET", headers={"x-large": "x" * 1024})
    assert await _refused(exchange) == (431, "request_header_fields_too_large")
    long = Exchange(method="GET", path="/" + "x" * 1024)
    assert await _refused(long) == (431, "request_header_fields_too_large")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-length": "-1"},
        {"content-length": "1x"},
        {"content-length": "1, 1"},
        {"content-length": "2", "transfer-encoding": "chunked"},
        {"transfer-encoding": "gzip, chunked"},
    ],
)
async def test_a_body_without_a_clear_end_is_refused(headers: dict[str, str]) -> None:
    assert (await _refused(Exchange(b"{}", headers=headers, measured=False)))[0] == 400


async def test_two_lengths_are_refused_even_if_they_agree() -> None:
    exchange = Exchange(b"{}")
    exchange.scope["headers"] *= 2
    assert (await _refused(exchange))[0] == 400


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "xml"])
async def test_a_body_of_another_type_is_refused(kind: str) -> None:
    """A page of any origin could send these without asking first."""
    exchange = Exchange(b"{}", headers={"content-type": kind})
    assert await _refused(exchange) == (415, "unsupported_media_type")


async def test_a_body_that_does_not_come_is_refused_and_the_connection_closed() -> None:
    layer, _ = _sanitize()
    exchange = Exchange(b"{", headers={"content-length": "2"}, measured=False)
    exchange._coming[0]["more_body"] = True  # noqa: SLF001
    task = asyncio.create_task(exchange.through(layer))
    await asyncio.sleep(1.1)
    assert exchange.status == 408
    assert exchange.headers["connection"] == "close"
    exchange.gone.set()
    await asyncio.wait_for(task, 1)
    assert not exchange.sent[-1].get("more_body")


async def test_bodies_held_at_once_are_bounded_and_counted_back() -> None:
    let_go = asyncio.Event()

    async def engine(_scope: Scope, _receive: Receive, send: Send) -> None:
        await let_go.wait()
        await answer_json(send, 200, {})

    layer = Sanitize(engine, context(http=_HTTP))
    body = b'"' + b"x" * 998 + b'"'
    exchanges = [Exchange(body) for _ in range(17)]
    tasks = [asyncio.create_task(each.through(layer)) for each in exchanges]
    await asyncio.sleep(0.05)
    refused = exchanges[16]
    assert (refused.status, refused.headers["retry-after"]) == (503, "2")
    let_go.set()
    await asyncio.gather(*tasks)
    assert (await Exchange(body).through(layer)).status == 200


async def test_a_client_that_leaves_before_its_body_is_whole_is_not_answered() -> None:
    exchange = Exchange(b"{", headers={"content-length": "2"}, measured=False)
    exchange._coming[0]["more_body"] = True  # noqa: SLF001
    assert await _refused(exchange) == (499, "client_closed_request")


async def test_a_request_without_a_body_costs_no_reading() -> None:
    layer, engine = _sanitize()
    exchange = Exchange(method="GET", path="/v1/models")
    assert (await exchange.through(layer)).status == 200
    assert engine.body == b""
