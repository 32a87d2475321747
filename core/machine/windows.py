"""What Windows says of the machine: CPU features, battery, and the display cards in its registry."""

from __future__ import annotations

import re
import sys
from typing import Any

from core.machine.kinds import Gpu
from core.machine.known import known_card
from core.machine.readings import whole

# Display adapters' class in the registry
_ADAPTERS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
_CPU = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
_VALUES = ("DriverDesc", "MatchingDeviceId", "DriverVersion", "HardwareInformation.qwMemorySize")
# winnt.h, PF_… numbers of IsProcessorFeaturePresent
_FEATURES = {"avx": 39, "avx2": 40, "avx512": 41, "neon": 19, "dotprod": 43}
_NO_BATTERY, _UNKNOWN = 128, 255
_MAKERS = {"1002": "amd", "8086": "intel", "10de": "nvidia"}
_MOST_ADAPTERS = 32
# Less is a GPU inside the CPU, whatever it is called
_SMALLEST = 3 << 30
_IDS = re.compile(r"VEN_(\w{4})&DEV_(\w{4})(?:.*REV_(\w\w))?", re.IGNORECASE)


def ask_windows() -> dict[str, Any]:
    """The raw answers; what Windows refuses is left out."""
    if sys.platform != "win32":
        return {}
    import ctypes

    kernel = ctypes.windll.kernel32
    return {
        "processor": _registry(_CPU, ("ProcessorNameString",)).get("ProcessorNameString", ""),
        "processor_features": {
            name: bool(kernel.IsProcessorFeaturePresent(number)) for name, number in _FEATURES.items()
        },
        "battery": _has_battery(kernel),
        "adapters": [
            values
            for number in range(_MOST_ADAPTERS)
            if (values := _registry(rf"{_ADAPTERS}\{number:04d}", _VALUES))
        ],
    }


def _has_battery(kernel: Any) -> bool:
    """SYSTEM_POWER_STATUS is 12 bytes; the second is BatteryFlag."""
    import ctypes

    status = (ctypes.c_ubyte * 12)()
    return bool(kernel.GetSystemPowerStatus(status)) and status[1] not in (_NO_BATTERY, _UNKNOWN)


def _registry(key: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Those of the values of a key below HKEY_LOCAL_MACHINE that are there."""
    if sys.platform != "win32":
        return {}
    import winreg

    found: dict[str, Any] = {}
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
            for name in names:
                try:
                    value = winreg.QueryValueEx(opened, name)[0]
                except FileNotFoundError:
                    continue
                found[name] = int.from_bytes(value, "little") if isinstance(value, bytes) else value
    except OSError:
        return {}  # the key of an adapter that is not there, or not ours to read
    return found


def adapter_gpus(raw: dict[str, Any]) -> tuple[list[Gpu], list[str]]:
    """AMD's and Intel's cards in Windows' registry; NVIDIA's are asked through NVML."""
    gpus: list[Gpu] = []
    problems: list[str] = []
    for adapter in raw.get("adapters") or []:
        ids = _IDS.search(str(adapter.get("MatchingDeviceId", "")))
        vendor = _MAKERS.get(ids[1].lower(), "") if ids else ""
        total = whole(adapter.get("HardwareInformation.qwMemorySize"))
        if ids and vendor in ("amd", "intel") and total >= _SMALLEST:
            gpus.append(_gpu(adapter, vendor, int(ids[2], 16), int(ids[3] or "0", 16), total, len(gpus)))
        if vendor == "nvidia" and not raw.get("nvml"):
            name = adapter.get("DriverDesc", "an NVIDIA card")
            problems.append(
                f"Windows lists {name}, but NVIDIA's driver can't be asked. If the card is still in the "
                "machine, reinstall the driver."
            )
    return gpus, problems


def _gpu(adapter: dict[str, Any], vendor: str, device: int, revision: int, total: int, number: int) -> Gpu:
    known = known_card(vendor, device, revision)
    return Gpu(
        name=str(adapter.get("DriverDesc") or known.name or f"{vendor} {device:04x}"),
        total=total,
        free=total,  # Windows tells the free memory per process only
        capability=None,
        driver=str(adapter.get("DriverVersion", "")),
        vendor="amd" if vendor == "amd" else "intel",
        arch=known.arch,
        laptop=known.laptop,
        display=True,
        index=number,
        power=known.power,
    )
