"""Stands in for vllm.model_executor.model_loader.default_loader: four weights, in two halves."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vllm import gates
from vllm.model_executor.model_loader import base_loader

_Base: Any = getattr(base_loader, "BaseModelLoader", None) or base_loader.Renamed


@dataclass
class _Weight:
    nbytes: int


class DefaultModelLoader(_Base):
    def _prepare_weights(
        self,
        model_name_or_path: str,
        subfolder: str | None,
        revision: str | None,
        fall_back_to_pt: bool,  # noqa: FBT001
        allow_patterns_overrides: list[str] | None,
    ) -> tuple[str, list[str], bool, str]:
        if not Path(model_name_or_path).is_dir():
            gates.wait("downloaded")
            model_name_or_path = str(Path(__file__).parent)
        files = sorted(str(file) for file in Path(model_name_or_path).glob("*.safetensors"))
        return model_name_or_path, files, True, "model.safetensors.index.json"

    def get_all_weights(self, model_config: Any, model: Any) -> Iterator[tuple[str, Any]]:
        _, files, *_ = self._prepare_weights(model_config, None, None, True, None)
        quarter = sum(Path(file).stat().st_size for file in files) // 4
        for number in range(4):
            if number == 2:
                gates.wait("half")
            yield f"w{number}", object() if gates.lacks("nbytes") else _Weight(quarter)

    def load_weights(self, model: Any, model_config: Any) -> None:
        assert len(dict(self.get_all_weights(model_config, model))) == 4
