"""Stands in for vllm.model_executor.model_loader.base_loader."""

from typing import Any

from vllm import gates


class BaseModelLoader:
    def load_model(self, vllm_config: Any, model_config: Any, prefix: str = "") -> Any:
        self.load_weights(vllm_config, model_config)
        return vllm_config

    def load_weights(self, model: Any, model_config: Any) -> None:
        raise NotImplementedError


if gates.lacks("BaseModelLoader"):
    Renamed = BaseModelLoader
    del BaseModelLoader
