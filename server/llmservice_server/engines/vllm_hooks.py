"""What vLLM's own processes tell of how far they are: the ``vllm.general_plugins`` entry point.

vLLM calls ``tell`` in each process that loads a model, where the methods named in ``HOOKS`` are
wrapped. Promises: vLLM does what it did, whatever becomes of a hook; one that vLLM lacks, or that
fails, costs only what it would have told. Importing this imports nothing of vLLM.
"""

import functools
import importlib
import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from llmservice_server import logs
from llmservice_server.loading import Notes, Phase, Progress

FOLDER = "LLMSERVICE_LOADING"  # the variable that names the folder of the notes
_LOADERS = "vllm.model_executor.model_loader"

_log = logging.getLogger("llmservice.loading")


def tell() -> None:
    """Wrap the hooks in this process, if it is one of the engine's, and let it log as we do."""
    logs.adopt()
    folder = os.environ.get(FOLDER)
    # The server's own process loads no model, and need not import what does.
    if not folder or multiprocessing.parent_process() is None:
        return
    teller = _Teller(Notes(Path(folder)))
    for (module, class_, method), around in HOOKS.items():
        try:
            owner: Any = getattr(importlib.import_module(module), class_)
            setattr(owner, method, around(teller, getattr(owner, method)))
        except (ImportError, AttributeError) as error:
            _log.warning("how far vLLM is in %s.%s is not told: %s", class_, method, error)


class _Teller:
    """How far this process is."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._now: Progress | None = None
        self._bytes = self._seen = 0

    def begin(self, phase: Phase) -> None:
        now = self._now
        if now is None or now.phase is not phase:
            began, self._bytes, self._seen = time.time(), 0, 0
            self._now = now.then(phase, began) if now else Progress(phase, began)
            self._notes.write(self._now)
            _log.info("loading: %s", phase.value)

    def expect(self, files: list[str]) -> None:
        self._bytes += sum(Path(file).stat().st_size for file in files)

    def read(self, size: int) -> None:
        self._seen += size
        if self._now is None or not self._bytes:
            return
        percent = min(100 * self._seen // self._bytes, 100)
        if percent != self._now.percent:
            self._now = self._now.at(percent)
            self._notes.write(self._now)


def _load_model(teller: _Teller, original: Callable[..., Any]) -> Callable[..., Any]:
    """BaseModelLoader.load_model: makes the model and loads its weights."""

    @functools.wraps(original)
    def load_model(*args: Any, **kwargs: Any) -> Any:
        with suppress(Exception):
            teller.begin(Phase.WEIGHTS)
        model = original(*args, **kwargs)
        with suppress(Exception):
            teller.begin(Phase.COMPILING if _compiles(*args, **kwargs) else Phase.WARMING_UP)
        return model

    return load_model


def _compiles(_loader: object, vllm_config: Any, *_: object, **__: object) -> bool:
    return bool(getattr(getattr(vllm_config, "compilation_config", None), "mode", None))


def _initialize(teller: _Teller, original: Callable[..., Any]) -> Callable[..., Any]:
    """WorkerWrapperBase.initialize_from_config: after what is compiled at once, before the rest."""

    @functools.wraps(original)
    def initialize_from_config(*args: Any, **kwargs: Any) -> Any:
        with suppress(Exception):
            teller.begin(Phase.WARMING_UP)
        return original(*args, **kwargs)

    return initialize_from_config


def _prepare_weights(teller: _Teller, original: Callable[..., Any]) -> Callable[..., Any]:
    """DefaultModelLoader._prepare_weights: returns (folder, files, …), downloaded if need be."""

    @functools.wraps(original)
    def prepare_weights(*args: Any, **kwargs: Any) -> Any:
        with suppress(Exception):
            if not Path(args[1]).is_dir():
                teller.begin(Phase.DOWNLOADING)
        prepared = original(*args, **kwargs)
        with suppress(Exception):
            teller.begin(Phase.WEIGHTS)
            teller.expect(prepared[1])
        return prepared

    return prepare_weights


def _get_all_weights(teller: _Teller, original: Callable[..., Any]) -> Callable[..., Any]:
    """DefaultModelLoader.get_all_weights: yields (name, tensor) as they are read."""

    @functools.wraps(original)
    def get_all_weights(*args: Any, **kwargs: Any) -> Iterator[Any]:
        for weight in original(*args, **kwargs):
            with suppress(Exception):
                teller.read(weight[1].nbytes)
            yield weight

    return get_all_weights


_Around = Callable[[_Teller, Callable[..., Any]], Callable[..., Any]]
HOOKS: dict[tuple[str, str, str], _Around] = {
    (f"{_LOADERS}.base_loader", "BaseModelLoader", "load_model"): _load_model,
    (f"{_LOADERS}.default_loader", "DefaultModelLoader", "_prepare_weights"): _prepare_weights,
    (f"{_LOADERS}.default_loader", "DefaultModelLoader", "get_all_weights"): _get_all_weights,
    ("vllm.v1.worker.worker_base", "WorkerWrapperBase", "initialize_from_config"): _initialize,
}
