"""What Prometheus is told of the requests: all of them, by names that no client can invent."""

import asyncio
import random
import string
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from llmservice_server.gateway.exchange import CATEGORIES
from llmservice_server.gateway.route_table import template
from llmservice_server.gateway.usage import Usage, count, usage_of
from prometheus_client import REGISTRY

from tests.length import lasting
from tests.unit.server.small_engine import Served, SmallEngine, served

_COMPLETIONS = "/v1/completions"


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    async with served(SmallEngine()) as made:
        yield made


@pytest.fixture
async def client(server: Served) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=server.url, timeout=30) as made:
        yield made


def _value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def _until(name: str, value: float, **labels: str) -> None:
    async with asyncio.timeout(30):
        while _value(name, **labels) != value:
            await asyncio.sleep(0.02)


def _requests(status: int = 200, streaming: str = "false", route: str = _COMPLETIONS) -> float:
    labels = {"route": route, "method": "POST", "status": str(status), "streaming": streaming}
    return _value("llmservice_requests_total", **labels)


def _body(words: int, *, stream: bool = False, usage: bool = False) -> dict[str, Any]:
    options = {"stream_options": {"include_usage": True}} if usage else {}
    return {"model": "small", "prompt": "x", "max_tokens": words, "stream": stream, **options}


async def test_a_request_is_counted_once_with_its_time_and_tokens(
    client: httpx2.AsyncClient,
) -> None:
    names = {
        "llmservice_request_duration_seconds_count": {"streaming": "false", "route": _COMPLETIONS},
        "llmservice_input_tokens_total": {"route": _COMPLETIONS},
        "llmservice_output_tokens_total": {"route": _COMPLETIONS},
        "api_requests_total": {"method": "POST", "endpoint": _COMPLETIONS, "status": "200"},
        "api_request_duration_seconds_count": {"endpoint": _COMPLETIONS},
    }
    before = [_value(name, **labels) for name, labels in names.items()]
    requests = _requests()
    assert (await client.post(_COMPLETIONS, json=_body(5))).status_code == 200
    after = [_value(name, **labels) for name, labels in names.items()]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 3, 5, 1, 1]
    assert _requests() == requests + 1


async def test_a_stream_has_the_time_to_its_first_token_and_between_two(
    server: Served, client: httpx2.AsyncClient
) -> None:
    server.engine.pace = 0.02
    first = _value("llmservice_time_to_first_token_seconds_sum", route=_COMPLETIONS)
    between = _value("llmservice_time_between_tokens_seconds_sum", route=_COMPLETIONS)
    number = _value("llmservice_time_between_tokens_seconds_count", route=_COMPLETIONS)
    streams = _requests(streaming="true")
    await client.post(_COMPLETIONS, json=_body(5, stream=True, usage=True))
    assert _value("llmservice_time_to_first_token_seconds_sum", route=_COMPLETIONS) > first + 0.02
    # Four times between five tokens, however many chunks there were.
    passed = _value("llmservice_time_between_tokens_seconds_sum", route=_COMPLETIONS) - between
    assert 0.02 <= passed < 1
    assert _value("llmservice_time_between_tokens_seconds_count", route=_COMPLETIONS) == number + 1
    assert _requests(streaming="true") == streams + 1


async def test_tokens_are_those_of_usage_and_never_the_number_of_chunks(
    client: httpx2.AsyncClient,
) -> None:
    before = _value("llmservice_output_tokens_total", route=_COMPLETIONS)
    got = await client.post(_COMPLETIONS, json=_body(7, stream=True))
    assert "usage" not in got.text  # the client did not ask, and gets none
    assert _value("llmservice_output_tokens_total", route=_COMPLETIONS) == before
    await client.post(_COMPLETIONS, json=_body(7, stream=True, usage=True))
    assert _value("llmservice_output_tokens_total", route=_COMPLETIONS) == before + 7


async def test_the_engines_own_account_counts_where_no_client_asked_and_for_no_other_request() -> (
    None
):
    engine = SmallEngine()
    engine.keeps_account = True  # of the server's own completion at its start, too
    async with (
        served(engine) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=30) as client,
    ):
        await _until("model_loaded", 1, model="small")
        before = _value("llmservice_output_tokens_total", route=_COMPLETIONS)
        got = await client.post(_COMPLETIONS, json=_body(7, stream=True))
        assert "usage" not in got.text
        assert _value("llmservice_output_tokens_total", route=_COMPLETIONS) == before + 7
        for path in ("/health", "/up"):
            others = _value("llmservice_output_tokens_total", route=template(path))
            await client.get(path)
            assert _value("llmservice_output_tokens_total", route=template(path)) == others


async def test_what_the_gateway_refuses_is_counted_too(
    server: Served, client: httpx2.AsyncClient
) -> None:
    refused = _requests(503)
    errors = _value("llmservice_errors_total", route=_COMPLETIONS, type="unavailable")
    server.context.lifecycle.refuse()
    assert (await client.post(_COMPLETIONS, json=_body(1))).status_code == 503
    assert _requests(503) == refused + 1
    assert _value("llmservice_errors_total", route=_COMPLETIONS, type="unavailable") == errors + 1


async def test_in_flight_and_active_clients_go_up_and_down(
    server: Served, client: httpx2.AsyncClient
) -> None:
    server.engine.pace = 0.05
    body = _body(10_000, stream=True)
    async with client.stream("POST", _COMPLETIONS, json=body) as one:
        of_one = one.aiter_lines()
        await anext(of_one)
        async with client.stream("POST", _COMPLETIONS, json=body) as two:
            of_two = two.aiter_lines()
            await anext(of_two)
            assert _value("llmservice_requests_in_flight") == 2
            assert _value("llmservice_active_clients") == 1  # both from one address
    await _until("llmservice_requests_in_flight", 0)
    await _until("llmservice_active_clients", 0)


async def test_a_client_that_leaves_is_an_error_of_its_own(
    server: Served, client: httpx2.AsyncClient
) -> None:
    server.engine.pace = 0.05
    gone = _value("llmservice_errors_total", route=_COMPLETIONS, type="client_gone")
    async with client.stream("POST", _COMPLETIONS, json=_body(10_000, stream=True)) as stream:
        await anext(stream.aiter_lines())
    await _until("llmservice_errors_total", gone + 1, route=_COMPLETIONS, type="client_gone")


async def test_a_loaded_model_and_its_speed(server: Served, client: httpx2.AsyncClient) -> None:
    await _until("model_loaded", 1, model="small")
    await client.post(_COMPLETIONS, json=_body(60))
    assert _value("tokens_per_second") >= 1
    server.engine.died = "it died"
    assert _value("model_loaded", model="small") == 0


def _series() -> set[tuple[str, str]]:
    return {
        (sample.name, str(sorted(sample.labels.items())))
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if metric.name.startswith(("llmservice_", "api_"))
    }


async def test_no_client_can_invent_a_series(client: httpx2.AsyncClient) -> None:
    dice = random.Random(1)

    def word() -> str:
        return "".join(dice.choices(string.ascii_letters + string.digits, k=12))

    async def ask(number: int) -> None:
        path = dice.choice(
            ["/", "/v1/", "/v1/models/", "/v1/responses/", "/v1/completions/", "/metrics/"]
        )
        method = dice.choice(["GET", "POST", "BREW" + word().upper()])
        headers = {"x-request-id": word(), "authorization": f"Bearer {word()}", "host": word()}
        await client.request(method, f"{path}{word()}?{word()}={word()}", headers=headers)

    for _ in range(4):
        await asyncio.gather(*(ask(number) for number in range(100)))
    first = _series()
    for _ in range(lasting(5, 20)):
        await asyncio.gather(*(ask(number) for number in range(100)))
    assert _series() == first
    labels = "".join(label for _, label in first)
    assert "BREW" not in labels


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("/v1/models/secret-model", "/v1/models/{id}"),
        ("/v1/responses/resp_1/cancel", "/v1/responses/{id}/cancel"),
        ("/v1/responses/a/b/c", "/v1/responses/{id}"),
        ("/metrics", "/metrics"),
        ("/admin/v1/keys/AbCdEfGh", "/admin/v1"),
        ("/", "/"),
        ("//", "other"),
        ("", "other"),
        ("/v1/chat/completions/../../etc", "other"),
    ],
)
def test_a_path_is_of_one_of_the_known_routes(path: str, route: str) -> None:
    assert template(path) == route


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        ([b'{"usage": {"prompt_tokens": 1, "completion_tokens": 2}}'], Usage(1, 2)),
        ([b'{"usage":{"prompt_tokens":1,"total_tokens":1}}'], Usage(1, 0)),
        ([b'{"usage":{"input_tokens":1,"output_tokens":2}}'], Usage(1, 2)),
        ([b'data: {"usa', b'ge":{"prompt_tokens":1,"completion_tokens":2}}\n\n'], Usage(1, 2)),
        ([b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}', b'{"usage":null}'], Usage(1, 2)),
        ([b'{"text":"\\"usage\\":{\\"prompt_tokens\\":9}"}'], None),
        ([b'{"usage":'], None),
        ([b'{"usage":{"prompt_tokens":"x"}}'], None),
        ([b'{"usage":{"prompt_tokens":-5,"completion_tokens":2}}'], Usage(0, 2)),
        ([b"\xff\xfe"], None),
        ([], None),
    ],
)
def test_usage_is_read_where_it_is_and_nowhere_else(body: list[bytes], usage: Usage | None) -> None:
    assert usage_of({}, body) == usage


def test_vllms_own_account_comes_before_the_answer_and_what_was_noted_before_both() -> None:
    account = SimpleNamespace(prompt_tokens=4, completion_tokens=5)
    state = {"request_metadata": SimpleNamespace(final_usage_info=account)}
    body = [b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}']
    assert usage_of(state, body) == Usage(4, 5)
    scope: dict[str, Any] = {"state": state}
    count(scope, Usage(1, 1))
    count(scope, Usage(2, 3))
    assert usage_of(scope["state"], body) == Usage(3, 4)


def test_every_category_is_a_word() -> None:
    assert all(kind.replace("_", "").isalpha() for kind in CATEGORIES)
