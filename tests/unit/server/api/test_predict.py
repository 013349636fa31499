"""Predictions, one and several together: names and errors of their own."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from llmservice_server.config import LimitsConfig
from prometheus_client import REGISTRY

from tests.unit.server.api.openai_engine import Running, running
from tests.unit.server.small_engine import until


def _written(path: str) -> float:
    return REGISTRY.get_sample_value("llmservice_output_tokens_total", {"route": path}) or 0


async def test_predict_has_its_own_names(server: Running) -> None:
    asked = {"prompt": "France?", "max_length": 5, "top_p": 0.9, "stop_tokens": ["\n"]}
    told = (await server.client.post("/predict", json=asked)).json()
    assert datetime.fromisoformat(told.pop("timestamp")).tzinfo
    assert told.pop("processing_time") >= 0
    assert told == {
        "generated_text": " Paris.",
        "prompt": "France?",
        "tokens_generated": 2,
        "model_name": "small",
        "model_version": None,
    }
    (sent,) = server.engine.bodies("/v1/completions")
    assert (sent["max_tokens"], sent["top_p"], sent["stop"]) == (5, 0.9, ["\n"])


async def test_the_tokens_of_predictions_are_counted(server: Running) -> None:
    async def counted_by(path: str, body: dict[str, Any]) -> float:
        before = _written(path)
        await server.client.post(path, json=body)
        return _written(path) - before

    assert await counted_by("/predict", {"prompt": "x"}) == 2
    assert await counted_by("/predict/batch", {"prompts": ["x", "400", "y"]}) == 4
    assert await counted_by("/inference", {"prompt": "x"}) == 2
    assert await counted_by("/stream", {"prompt": "x"}) == 2


async def test_in_a_batch_one_failure_does_not_lose_the_others(server: Running) -> None:
    prompts = ["one", "400", "three", "503"]
    answer = await server.client.post("/predict/batch", json={"prompts": prompts})
    told = answer.json()
    assert answer.status_code == 200
    assert [r.get("prompt") or r["error"] for r in told["results"]] == [
        "one",
        "validation_error",
        "three",
        "service_unavailable",
    ]
    assert told["results"][1]["message"] == "it is a 400"
    assert told["results"][1]["request_id"] == answer.headers["x-request-id"]
    assert told["failed"] == 2
    assert len(set(server.engine.ids)) == 4  # the engine knows each by an id of its own


async def test_a_batch_runs_together(server: Running) -> None:
    asked = asyncio.create_task(
        server.client.post("/predict/batch", json={"prompts": ["slow"] * 8})
    )
    await until(lambda: server.engine.running == 8)
    asked.cancel()
    await until(lambda: server.engine.running == 0)


async def test_a_batch_takes_no_more_of_the_engine_than_its_prompts_alone_would() -> None:
    async with running(limits=LimitsConfig(running=3)) as server:
        asked = [
            asyncio.create_task(server.client.post("/predict/batch", json={"prompts": prompts}))
            for prompts in (["slow"] * 8, ["slow"])
        ]
        await until(lambda: server.engine.running == 3)
        await asyncio.sleep(0.1)
        assert (server.engine.running, server.context.turns.running) == (3, 3)
        for task in asked:
            task.cancel()
        await until(lambda: server.context.turns.running == 0)


async def test_a_batch_that_has_the_only_place_goes_on_one_by_one() -> None:
    async with running(limits=LimitsConfig(running=1)) as server:
        asked = {"prompts": ["one", "two", "three"]}
        told = (await server.client.post("/predict/batch", json=asked)).json()
        assert [result["prompt"] for result in told["results"]] == asked["prompts"]
        assert server.context.turns.running == 0


async def test_where_all_of_a_batch_fails_its_error_is_the_answer(server: Running) -> None:
    answer = await server.client.post("/predict/batch", json={"prompts": ["503", "400"]})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert answer.json()["error"] == "service_unavailable"


@pytest.mark.parametrize(
    ("words", "kind", "status"),
    [
        ("400", "validation_error", 400),
        ("422", "validation_error", 400),
        ("unauthorized", "unauthorized", 401),
        ("413", "payload_too_large", 413),
        ("503", "service_unavailable", 503),
        ("500", "internal_server_error", 500),
        ("raise", "internal_server_error", 500),
    ],
)
async def test_predicts_errors_have_names(
    server: Running, words: str, kind: str, status: int
) -> None:
    answer = await server.client.post("/predict", json={"prompt": words})
    assert (answer.json()["error"], answer.status_code) == (kind, status)


async def test_predict_by_another_method_is_refused_in_its_shape(server: Running) -> None:
    answer = await server.client.get("/predict")
    assert (answer.status_code, answer.json()["error"]) == (405, "method_not_allowed")
