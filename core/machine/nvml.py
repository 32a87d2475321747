"""Asks NVIDIA's management library (NVML), as a process of its own: a driver can crash or hang who asks it.

`python -I -S nvml.py [LIBRARY]` prints one JSON object. Standard library only, so that it starts in 20 ms and
works before anything is installed. The structures and numbers are those of nvml.h, which NVIDIA keeps stable.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

_NAMED_ERRORS = {
    2: "invalid argument",
    3: "not supported",
    4: "no permission",
    9: "driver not loaded",
    12: "library not found",
    15: "GPU is lost",
    18: "driver and library have different versions",
    999: "unknown error",
}


class _Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


_INT, _UINT, _HANDLE = (ctypes.c_int,), (ctypes.c_uint,), (ctypes.c_void_p,)
_TEXT = (ctypes.c_char * 96,)  # NVML_DEVICE_NAME_V2_BUFFER_SIZE
# what is asked of a card: the function, and what it writes
_OF_A_CARD = {
    "name": ("nvmlDeviceGetName", _TEXT),
    "memory": ("nvmlDeviceGetMemoryInfo", (_Memory,)),
    "capability": ("nvmlDeviceGetCudaComputeCapability", (*_INT, *_INT)),
    "display_active": ("nvmlDeviceGetDisplayActive", _INT),
    "power_limit_mw": ("nvmlDeviceGetEnforcedPowerLimit", _UINT),
    "mig": ("nvmlDeviceGetMigMode", (*_UINT, *_UINT)),
}


def library_names() -> list[str]:
    """Where the driver puts the library, best first."""
    if sys.platform != "win32":
        return ["libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1"]
    windows, programs = os.environ.get("WINDIR", r"C:\Windows"), os.environ.get("PROGRAMFILES", "")
    return [
        os.path.join(windows, "System32", "nvml.dll"),
        os.path.join(programs, "NVIDIA Corporation", "NVSMI", "nvml.dll"),
    ]


def answer(names: list[str]) -> dict[str, Any]:
    """Everything of interest that the driver says now."""
    library = _load(names)
    if library is None:
        return {"error": _NAMED_ERRORS[12]}
    if failure := _value(library, "nvmlInit_v2", ()):
        return failure
    try:
        count = _value(library, "nvmlDeviceGetCount_v2", _UINT)
        if not isinstance(count, int):
            return count
        return {
            "driver": _value(library, "nvmlSystemGetDriverVersion", _TEXT),
            "cuda": _value(library, "nvmlSystemGetCudaDriverVersion_v2", _INT),
            "devices": [_card(library, index) for index in range(count)],
        }
    finally:
        library.nvmlShutdown()  # a library that stays open keeps a laptop's card awake


def _load(names: list[str]) -> ctypes.CDLL | None:
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _card(library: ctypes.CDLL, index: int) -> dict[str, Any]:
    number = _value(library, "nvmlDeviceGetHandleByIndex_v2", _HANDLE, ctypes.c_uint(index))
    if isinstance(number, dict):
        return number
    handle = ctypes.c_void_p(number)
    values = {key: _value(library, name, kinds, handle) for key, (name, kinds) in _OF_A_CARD.items()}
    return {**values, "slices": _slices(library, handle)}


def _slices(library: ctypes.CDLL, handle: ctypes.c_void_p) -> list[Any]:
    """The memory of every part that MIG has split the card into; none on other cards."""
    most = _value(library, "nvmlDeviceGetMaxMigDeviceCount", _UINT, handle)
    places = range(most if isinstance(most, int) else 0)
    name = "nvmlDeviceGetMigDeviceHandleByIndex"
    # an error is a place where no part was made
    parts = [_value(library, name, _HANDLE, handle, ctypes.c_uint(index)) for index in places]
    memory, kinds = _OF_A_CARD["memory"]
    return [_value(library, memory, kinds, ctypes.c_void_p(p)) for p in parts if isinstance(p, int)]


def _value(library: ctypes.CDLL, name: str, kinds: tuple[Any, ...], *before: Any) -> Any:
    """What a function writes that takes `before` and a place of each kind: one value, else a list of them; or
    `{"error": …}`, with NVML's number in words."""
    function = getattr(library, name, None)
    if function is None:
        return {"error": "function not found"}  # an older library
    places = [kind() for kind in kinds]
    length = [ctypes.c_uint(ctypes.sizeof(places[0]))] if kinds is _TEXT else []
    code = function(*before, *map(ctypes.byref, places), *length)
    if code != 0:
        return {"error": _NAMED_ERRORS.get(code, f"error {code}")}
    values = [_plain(place) for place in places]
    return values[0] if len(values) == 1 else values


def _plain(place: Any) -> Any:
    if isinstance(place, _Memory):
        return {"total": place.total, "free": place.free}
    return place.value.decode("utf-8", "replace") if isinstance(place.value, bytes) else place.value


if __name__ == "__main__":
    print(json.dumps(answer(sys.argv[1:] or library_names())))
