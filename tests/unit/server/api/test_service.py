"""What the server tells of itself, and which of its routes there are."""

import pytest
from llmservice_server.config import ApiConfig
from prometheus_client import REGISTRY

from tests.unit.server.api.beside import ROUTES, asked_of, sentence_of
from tests.unit.server.api.openai_engine import Running, running

_GROUPS = {
    "info": ["GET /", "GET /info"],
    "inference": ["POST /inference", "POST /stream", "GET /stream"],
    "api_v1": ["POST /api/v1/infer", "GET /api/v1/model"],
    "chat": ["POST /api/chat"],
    "predict": ["POST /predict", "POST /predict/batch"],
}


def _written(path: str) -> float:
    return REGISTRY.get_sample_value("llmservice_output_tokens_total", {"route": path}) or 0


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", "/v1/embeddings", (404, "not_found")),
        ("GET", "/v1/completions", (405, "method_not_allowed")),
    ],
)
async def test_a_route_that_the_engine_lacks_is_refused_in_openais_shape(
    server: Running, method: str, path: str, code: tuple[int, str]
) -> None:
    """vLLM leaves this to FastAPI, whose shape is another: as the engine of these tests does."""
    answer = await server.client.request(method, path, json={"model": "small"})
    assert (answer.status_code, answer.json()["error"]["code"]) == code
    assert sentence_of(answer)


async def test_the_root_says_what_this_is_and_each_of_its_routes_is_described(
    server: Running,
) -> None:
    told = (await server.client.get("/")).json()
    assert told["model"] == "small"
    assert told["status"] == "ready"
    described = (await server.client.get("/openapi.json")).json()["paths"]
    probes = {"/livez", "/readyz", "/health", "/status"}
    assert set(told["routes"]) == ROUTES | probes | {"/api/v1/model", "/info", "/v1/models"}
    assert described.keys() >= {"/", *told["routes"]}
    for path in ROUTES:
        schema = described[path]["post"]
        assert schema["summary"]
        assert "400" in schema["responses"]
    assert (await server.client.get("/docs")).status_code == 200
    assert (await server.client.get("/redoc")).status_code == 200


async def test_info_tells_of_the_model_and_its_engine(server: Running) -> None:
    assert (await server.client.get("/info")).json() == {
        "name": "small",
        "version": None,
        "source": "hf://org/small",
        "context_length": 200,
        "adapters": ["french"],
        "models": ["small", "french"],
        "engine": "vllm",
        "engine_version": "1.2.3",
    }


@pytest.mark.parametrize("group", sorted(_GROUPS))
async def test_a_group_that_is_off_is_an_unknown_route(group: str) -> None:
    async with running(on=ApiConfig.model_validate({group: False})) as server:
        unknown = await server.client.post("/no/such/route", json={})
        for route in _GROUPS[group]:
            method, path = route.split()
            answer = await server.client.request(method, path, json={"prompt": "x"})
            assert (answer.status_code, answer.text) == (404, unknown.text)
        others = [route for name in _GROUPS if name != group for route in _GROUPS[name]]
        for route in others:
            method, path = route.split()
            answer = await server.client.request(
                method, path, params={"prompt": "x"}, json=asked_of(path)
            )
            assert answer.status_code == 200
        assert (await server.client.get("/health")).status_code == 200


async def test_the_examples_of_the_documentation_are_no_tokens(server: Running) -> None:
    answer = await server.client.get("/openapi.json")
    assert '"usage":' in answer.text
    assert _written("/openapi.json") == 0
