"""How much memory of each GPU is in use, as NVIDIA's driver says.

Asks the driver's own library, so that it needs no package and makes no context on a GPU. Promises
an empty list where there is no such library or GPU, and never fails.
"""

import ctypes
from functools import cache

_LIBRARY = "libnvidia-ml.so.1"


class _Memory(ctypes.Structure):
    """nvmlMemory_t"""

    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


def used() -> list[int]:
    """Bytes in use of each GPU that this process sees."""
    found: list[int] = []
    for handle in _devices():
        memory = _Memory()
        if not _library().nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)):
            found.append(int(memory.used))
    return found


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(_LIBRARY)


@cache
def _devices() -> tuple[ctypes.c_void_p, ...]:
    try:
        library = _library()
        if library.nvmlInit_v2():
            return ()
        number = ctypes.c_uint()
        library.nvmlDeviceGetCount_v2(ctypes.byref(number))
        handles = tuple(ctypes.c_void_p() for _ in range(number.value))
        for index, handle in enumerate(handles):
            library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle))
    except (OSError, AttributeError):
        return ()
    return handles
