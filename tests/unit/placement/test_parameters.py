"""A model's size, as far as its name tells."""

import pytest
from llmservice_operator.placement.parameters import parameter_count

_MILLION, _BILLION = 10**6, 10**9


@pytest.mark.parametrize(
    ("uri", "count"),
    [
        ("hf://Qwen/Qwen2.5-7B-Instruct", 7 * _BILLION),
        ("hf://Qwen/Qwen2.5-0.5B", _BILLION // 2),
        ("pvc://models/smollm2-135m-instruct", 135 * _MILLION),
        ("hf://mistralai/Mixtral-8x7B-v0.1", 56 * _BILLION),
        ("hf://Qwen/Qwen3-30B-A3B", 30 * _BILLION),
        ("hf://meta-llama/Llama-3.1-405B-Instruct-FP8", 405 * _BILLION),
        ("hf://google/gemma-2-9b-it", 9 * _BILLION),
        ("hf://org/model-7b_v2", 7 * _BILLION),
        ("hf://org/model-128k-chat", None),
        ("hf://microsoft/phi-4", None),
        ("file:///opt/models/qwen", None),
    ],
)
def test_reads_the_size_out_of_the_name(uri: str, count: int | None) -> None:
    assert parameter_count(uri) == count
