"""Memory in use of each GPU, as a stand-in for NVIDIA's library says, and without one."""

import ctypes
from collections.abc import Callable
from importlib.util import find_spec, module_from_spec
from types import SimpleNamespace
from typing import Any

import pytest


def _used(monkeypatch: pytest.MonkeyPatch, load: Callable[[str], object]) -> Callable[[], Any]:
    """Of a process of its own, as it were: what was found once is kept."""
    monkeypatch.setattr(ctypes, "CDLL", load)
    spec = find_spec("llmservice_server.gpu_memory")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.used


class _Driver:
    """NVML with these bytes in use of each GPU; None: of that one it cannot tell."""

    def __init__(self, *used: int | None, fault: int = 0) -> None:
        self._used, self._fault = [*used], fault
        self.begun = 0

    def load(self, name: str) -> SimpleNamespace:
        assert name == "libnvidia-ml.so.1"
        return SimpleNamespace(
            nvmlInit_v2=self._begin,
            nvmlDeviceGetCount_v2=self._count,
            nvmlDeviceGetHandleByIndex_v2=self._handle,
            nvmlDeviceGetMemoryInfo=self._memory,
        )

    def grow(self, by: int) -> None:
        self._used = [used and used + by for used in self._used]

    def _begin(self) -> int:
        self.begun += 1
        return self._fault

    def _count(self, number: Any) -> int:
        number._obj.value = len(self._used)  # noqa: SLF001  where a reference of ctypes leads
        return 0

    def _handle(self, index: int, handle: Any) -> int:
        handle._obj.value = 1 + index  # noqa: SLF001
        return 0

    def _memory(self, handle: ctypes.c_void_p, memory: Any) -> int:
        assert handle.value
        used, told = self._used[handle.value - 1], memory._obj  # noqa: SLF001
        if used is None:
            return 15  # NVML_ERROR_GPU_IS_LOST
        told.total, told.free, told.used = 80 << 30, (80 << 30) - used, used
        return 0


def test_of_each_gpu_it_is_what_the_driver_says_now(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = _Driver(3 << 30, 70 << 30)
    used = _used(monkeypatch, driver.load)
    assert used() == [3 << 30, 70 << 30]
    driver.grow(1 << 20)
    assert used() == [(3 << 30) + (1 << 20), (70 << 30) + (1 << 20)]
    assert driver.begun == 1


def test_a_gpu_that_is_lost_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _used(monkeypatch, _Driver(5, None).load)() == [5]


def test_without_a_driver_that_works_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")

    def older(_: str) -> object:
        return SimpleNamespace(nvmlInit=lambda: 0)

    for load in (absent, older, _Driver(5, fault=9).load):
        assert _used(monkeypatch, load)() == []
