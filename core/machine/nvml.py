"""Asks NVIDIA's management library (NVML), as a process of its own: a driver can crash or hang who asks it.

`python -I -S nvml.py [LIBRARY]` answers every line of its input with a line of JSON, and ends with its input.
Standard library only, so that it starts in 20 ms and works before anything is installed. The structures and
numbers are those of nvml.h, which NVIDIA keeps stable.
"""

import ctypes
import json
import os
import sys
from typing import Any

_STRING = 96  # NVML_DEVICE_NAME_V2_BUFFER_SIZE
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


class Refused(Exception):
    """NVML's answer is an error; the text is its number in words."""


class _Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


def library_names() -> list[str]:
    """Where the driver puts the library, best first."""
    if sys.platform != "win32":
        return ["libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1"]
    windows, programs = os.environ.get("WINDIR", r"C:\Windows"), os.environ.get("PROGRAMFILES", "")
    return [
        os.path.join(windows, "System32", "nvml.dll"),
        os.path.join(programs, "NVIDIA Corporation", "NVSMI", "nvml.dll"),
    ]


def load(names: list[str]) -> ctypes.CDLL:
    """The library. Raises Refused where there is none."""
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise Refused(_NAMED_ERRORS[12])


def call(library: ctypes.CDLL, name: str, *arguments: Any) -> None:
    """Call one function. Raises Refused with what it answered; older libraries lack some functions."""
    function = getattr(library, name, None)
    if function is None:
        raise Refused("function not found")
    code = function(*arguments)
    if code != 0:
        raise Refused(_NAMED_ERRORS.get(code, f"error {code}"))


def answer(names: list[str]) -> dict[str, Any]:
    """Everything of interest that the driver says now."""
    try:
        library = load(names)
        call(library, "nvmlInit_v2")
    except Refused as refused:
        return {"error": str(refused)}
    try:
        return _system(library)
    except Refused as refused:
        return {"error": str(refused)}
    finally:
        library.nvmlShutdown()  # a library that stays open keeps a laptop's card awake


def _system(library: ctypes.CDLL) -> dict[str, Any]:
    count = ctypes.c_uint()
    call(library, "nvmlDeviceGetCount_v2", ctypes.byref(count))
    return {
        "driver": _text(library, "nvmlSystemGetDriverVersion"),
        "cuda": _number(library, "nvmlSystemGetCudaDriverVersion_v2", ctypes.c_int),
        "devices": [_device(library, index) for index in range(count.value)],
    }


def _device(library: ctypes.CDLL, index: int) -> dict[str, Any]:
    handle = ctypes.c_void_p()
    try:
        call(library, "nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle))
    except Refused as refused:
        return {"error": str(refused)}
    return {
        "name": _text(library, "nvmlDeviceGetName", handle),
        "memory": _memory(library, handle),
        "capability": _pair(library, "nvmlDeviceGetCudaComputeCapability", handle),
        "display_active": _number(library, "nvmlDeviceGetDisplayActive", ctypes.c_int, handle),
        "power_limit_mw": _number(library, "nvmlDeviceGetEnforcedPowerLimit", ctypes.c_uint, handle),
        "mig": _pair(library, "nvmlDeviceGetMigMode", handle),
        "slices": _slices(library, handle),
    }


def _slices(library: ctypes.CDLL, handle: ctypes.c_void_p) -> "list[dict[str, int] | dict[str, str]]":
    """The memory of every part that MIG has split the card into; none on other cards."""
    most = _number(library, "nvmlDeviceGetMaxMigDeviceCount", ctypes.c_uint, handle)
    found = []
    for index in range(most if isinstance(most, int) else 0):
        part = ctypes.c_void_p()
        try:
            name = "nvmlDeviceGetMigDeviceHandleByIndex"
            call(library, name, handle, ctypes.c_uint(index), ctypes.byref(part))
        except Refused:
            continue  # a place where no part was made
        found.append(_memory(library, part))
    return found


def _text(library: ctypes.CDLL, name: str, *handle: ctypes.c_void_p) -> "str | dict[str, str]":
    buffer = ctypes.create_string_buffer(_STRING)
    try:
        call(library, name, *handle, buffer, ctypes.c_uint(_STRING))
    except Refused as refused:
        return {"error": str(refused)}
    return buffer.value.decode("utf-8", "replace")


def _number(
    library: ctypes.CDLL, name: str, kind: "type[ctypes.c_int | ctypes.c_uint]", *handle: ctypes.c_void_p
) -> "int | dict[str, str]":
    value = kind()
    try:
        call(library, name, *handle, ctypes.byref(value))
    except Refused as refused:
        return {"error": str(refused)}
    return value.value


def _pair(library: ctypes.CDLL, name: str, handle: ctypes.c_void_p) -> "list[int] | dict[str, str]":
    first, second = ctypes.c_uint(), ctypes.c_uint()
    try:
        call(library, name, handle, ctypes.byref(first), ctypes.byref(second))
    except Refused as refused:
        return {"error": str(refused)}
    return [first.value, second.value]


def _memory(library: ctypes.CDLL, handle: ctypes.c_void_p) -> "dict[str, int] | dict[str, str]":
    memory = _Memory()
    try:
        call(library, "nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory))
    except Refused as refused:
        return {"error": str(refused)}
    return {"total": memory.total, "free": memory.free}


def main() -> None:
    names = sys.argv[1:] or library_names()
    for _ in sys.stdin:
        print(json.dumps(answer(names)), flush=True)


if __name__ == "__main__":
    main()
