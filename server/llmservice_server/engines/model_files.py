"""Is there a model where the configuration points to? Asked before an engine takes minutes to fail.

Looks at names only, never into weights; a source that is no absolute path is a hub's business.
"""

import json
from pathlib import Path

from llmservice_server.config import ServerConfig
from llmservice_server.engines.failures import ModelMissingError

_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf")
_INDEX = "model.safetensors.index.json"
_CONFIGS = ("config.json", "params.json")  # Hugging Face's and Mistral's
_SHOWN = 8  # names of a folder that a sentence lists


def require_model(config: ServerConfig) -> None:
    """Refuse a path without a model.

    Raises:
        ModelMissingError: which path, what is there, and what is expected.
    """
    path = Path(config.loaded.source)
    if not path.is_absolute():
        return
    try:
        fault = _fault(path, weights=config.engine.args.get("load-format") != "dummy")
    except OSError as error:
        fault = f"cannot be read: {error.strerror} ({error.filename})"
    if fault:
        raise ModelMissingError(
            f"no model at {path} (model.uri {config.loaded.uri}): it {fault}; expected a folder"
            " with config.json and weights (*.safetensors or *.bin), or one .gguf file"
        )


def _fault(path: Path, *, weights: bool) -> str | None:
    if path.is_file():
        return None if path.suffix == ".gguf" else "is a file"
    if not path.exists():
        return f"does not exist; {_content(next(up for up in path.parents if up.exists()))}"
    if not any((path / name).is_file() for name in _CONFIGS):
        return f"has no config.json; {_content(path)}"
    return _fault_of_weights(path) if weights else None


def _fault_of_weights(path: Path) -> str | None:
    if not any(match for pattern in _WEIGHTS for match in path.glob(pattern)):
        return f"has no weights; {_content(path)}"
    index = path / _INDEX
    if not index.is_file():
        return None
    try:
        shards = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"has a broken {_INDEX}"
    missing = [name for name in shards if not (path / name).is_file()]
    if missing:
        return f"lacks {len(missing)} of its {len(shards)} weight files, {missing[0]} first"
    return None


def _content(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    if not names:
        return f"{folder} is empty"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{folder} holds {', '.join(names[:_SHOWN])}{more}"
