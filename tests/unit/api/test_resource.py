"""Reading a resource: what is enough, what is refused, and what never stops a reader."""

from typing import Any

import pytest
from llmservice_operator.api import InvalidSpec, LLMService
from llmservice_server.termination import masked

_MODEL = {"model": {"uri": "hf://a/b"}}
_UPSTREAM = {"url": "http://a/v1", "models": [{"name": "m"}, {"name": "n"}]}
_PROXY = {"type": "proxy", "upstreams": [_UPSTREAM]}


def _parse(spec: object, **fields: Any) -> LLMService:
    return LLMService.parse(
        {"metadata": {"name": "qwen", "namespace": "ml"}, "spec": spec} | fields
    )


def test_a_model_is_enough() -> None:
    service = _parse({"model": {"uri": "hf://Qwen/Qwen2.5-7B-Instruct"}})
    assert service.served_name == "qwen"
    assert service.spec.gpu is None
    assert service.spec.rollout.drain_seconds == 300


def test_unknown_fields_are_refused_where_asked() -> None:
    obj = {"metadata": {"name": "x"}, "spec": {"model": {"uri": "hf://a/b"}, "gpus": 1}}
    with pytest.raises(InvalidSpec, match=r"spec\.gpus: unknown field: remove it or correct"):
        LLMService.parse(obj, unknown="forbid")


def test_a_proxy_needs_no_model_and_serves_what_its_upstreams_do() -> None:
    assert _parse({"engine": _PROXY}).served_name == "m, n"


def test_the_served_name_outlives_a_change_of_the_model() -> None:
    names = {_parse({"model": {"uri": uri}}).served_name for uri in ("hf://a/b", "pvc://c/d")}
    assert names == {"qwen"}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({}, "spec: model is missing: write model: {uri: hf://"),
        ({"engine": {"type": "proxy"}}, "spec.engine: a proxy needs servers to stand before"),
        (_MODEL | {"engine": {"upstreams": [_UPSTREAM]}}, "upstreams are for a proxy"),
        (_MODEL | {"engine": _PROXY}, "a proxy loads no model: remove it"),
        ({"gpu": {"count": 1}, "engine": _PROXY}, "a proxy needs no GPU: remove gpu"),
        ({"engine": _PROXY | {"args": {"seed": 1}}}, "args are vLLM's flags: remove them"),
        ({"engine": _PROXY | {"upstreams": [{"url": "http://u:p@a/v1"}]}}, "without credentials"),
        ({"model": {"uri": "s3://a/b"}}, "spec.model.uri: unknown scheme: write hf://"),
        ({"model": {"uri": "hf://a/b\n"}}, "spec.model.uri: write hf://ORGANISATION/NAME"),
        ({"model": {"uri": "hf://a/b"}, "replicas": 0}, "spec.replicas: Input should be greater"),
        ({"model": {"uri": "hf://a/b"}, "gpu": {"minMemory": 20}}, "as 20Gi"),
        (
            {"model": {"uri": "hf://a/b"}, "disruption": {"maxUnavailable": "half"}},
            "spec.disruption.maxUnavailable: write a number of pods",
        ),
        (
            {"model": {"uri": "hf://a/b"}, "disruption": {"minAvailable": 2**31}},
            "spec.disruption.minAvailable: write a number of pods",
        ),
        (None, "spec: "),
    ],
)
def test_a_fault_is_one_sentence_that_names_the_field(spec: object, sentence: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        _parse(spec)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "VLLM_API_KEY", "AWS_SECRET_ACCESS_KEY", "Password", "A_SECRET"]
)
def test_a_secret_is_taken_from_a_secret_only(name: str) -> None:
    source = {"secretKeyRef": {"name": "s", "key": "k"}}
    _parse(_MODEL | {"engine": {"env": [{"name": name, "valueFrom": source}]}})
    with pytest.raises(InvalidSpec, match=r"write valueFrom\.secretKeyRef"):
        _parse(_MODEL | {"engine": {"env": [{"name": name, "value": "12345678"}]}})
    assert masked("12345678", {name: "12345678"}) == "***", "the server's words would tell it"


@pytest.mark.parametrize(
    "name", ["MAX_NUM_TOKENS", "AWS_ACCESS_KEY_ID", "MONKEYS", "PASSWORD_FILE"]
)
def test_what_only_sounds_like_a_secret_may_be_written(name: str) -> None:
    _parse(_MODEL | {"engine": {"env": [{"name": name, "value": "1"}]}})


def test_a_fault_never_repeats_a_value_which_may_be_secret() -> None:
    env = [{"name": "PASSWORD", "value": {"no": "s3cret"}}]
    with pytest.raises(InvalidSpec) as refused:
        _parse({"model": {"uri": "hf://a/b"}, "engine": {"env": env}})
    assert "s3cret" not in str(refused.value)


def test_fields_of_a_newer_version_are_passed_over() -> None:
    spec = {"model": {"uri": "hf://a/b", "cache": {}}, "gateway": {"guards": "all"}}
    assert _parse(spec).spec.model.scheme == "hf"


@pytest.mark.parametrize(
    ("uri", "scheme", "claim", "source"),
    [
        ("hf://Qwen/Qwen2.5-7B", "hf", None, "Qwen/Qwen2.5-7B"),
        ("pvc://models/a/b", "pvc", "models", "/models/a/b"),
        ("pvc://models", "pvc", "models", "/models"),
        ("file:///opt/m", "file", None, "/opt/m"),
    ],
)
def test_a_uri_says_what_the_engine_loads(
    uri: str, scheme: str, claim: str | None, source: str
) -> None:
    model = _parse({"model": {"uri": uri}}).spec.model
    assert (model.scheme, model.claim, model.source) == (scheme, claim, source)


@pytest.mark.parametrize(
    ("gpu", "devices", "split"),
    [
        ({}, 1, 1),
        ({"count": 4}, 4, 4),
        ({"count": 8, "pipelineParallel": 2}, 8, 4),
        ({"tensorParallel": 4}, 4, 4),
        ({"tensorParallel": 4, "pipelineParallel": 2}, 8, 4),
        ({"pipelineParallel": 2}, 2, 1),
    ],
)
def test_gpus_of_a_replica_and_how_the_model_is_split(
    gpu: dict[str, int], devices: int, split: int
) -> None:
    parsed = _parse({"model": {"uri": "hf://a/b"}, "gpu": gpu}).spec.gpu
    assert parsed is not None
    assert (parsed.devices, parsed.tensor_split) == (devices, split)


@pytest.mark.parametrize(
    ("written", "mebibytes"), [("20Gi", 20480), ("24G", 22889), ("81559Mi", 81559), ("1e11", 95368)]
)
def test_gpu_memory_is_rounded_up_to_the_labels_unit(written: str, mebibytes: int) -> None:
    gpu = _parse({"model": {"uri": "hf://a/b"}, "gpu": {"minMemory": written}}).spec.gpu
    assert gpu is not None
    assert gpu.min_mebibytes == mebibytes
