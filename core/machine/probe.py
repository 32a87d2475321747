"""The raw answers of this machine, as one JSON object: what Hardware is read from, here or from a recording.

`python -m core.machine` prints them. `LORA_GARAGE_PROBE=FILE.json` puts a recording in their place.
A recording may lack any of its parts; they then say nothing.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from core.base.cores import usable_cores
from core.base.errors import UserError
from core.machine.builds import read_torch
from core.machine.nvml import library_names
from core.machine.sysfs import ask_sysfs

RECORDING = "LORA_GARAGE_PROBE"
_LARGEST_RECORDING = 4 << 20
_ENVIRONMENT = ("CUDA_VISIBLE_DEVICES",)


def take_probe(
    folder: Path | None = None, site_packages: Path | None = None, drivers: bool = True
) -> dict[str, Any]:
    """The recording that the environment names, else what this machine answers now."""
    named = os.environ.get(RECORDING)
    return read_probe(Path(named)) if named else ask_machine(folder, site_packages, drivers)


def read_probe(path: Path) -> dict[str, Any]:
    """A recorded machine. A UserError says what is wrong with the file."""
    try:
        if path.stat().st_size > _LARGEST_RECORDING:
            raise UserError(
                f"{path} is too large for a recorded machine. Give what `python -m core.machine` printed."
            )
        recorded = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"The recorded machine {path} can't be read ({error.strerror}).") from error
    except ValueError as error:
        raise UserError(f"The recorded machine {path} is not JSON ({error}).") from error
    if not isinstance(recorded, dict):
        raise UserError(f"The recorded machine {path} must hold one JSON object.")
    return recorded


def ask_machine(
    folder: Path | None = None, site_packages: Path | None = None, drivers: bool = True
) -> dict[str, Any]:
    """Ask the system, the CPU, the drivers and the disk of `folder`. What does not answer says so.

    Without `drivers` NVIDIA's stays asleep: to wake it takes up to seconds.
    """
    raw: dict[str, Any] = {
        "system": {
            "system": platform.system(),
            "release": platform.release(),
            "version": platform.version(),
            "machine": platform.machine(),
        },
        "environment": {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        "cores": usable_cores(),
        "disk_free": _disk_free(folder or Path.home()),
        "torch": read_torch(site_packages),
        **_of_the_system(),
    }
    if drivers and nvidia_expected(raw):
        from core.machine.asked import ask_nvml

        raw["nvml"] = ask_nvml()
    return raw


def nvidia_expected(raw: dict[str, Any]) -> bool:
    """Whether asking NVML can find anything: a card in a slot, a loaded driver, WSL, Windows' library."""
    if sys.platform == "win32":
        return any(Path(name).is_file() for name in library_names())
    cards = raw.get("pci", {}).values()
    return any(card.get("vendor") == "0x10de" for card in cards) or any(
        Path(name).exists() for name in ("/dev/nvidiactl", "/dev/dxg", "/proc/driver/nvidia/version")
    )


def _of_the_system() -> dict[str, Any]:
    """What only Linux, macOS or Windows can be asked."""
    if sys.platform == "win32":
        from core.machine.windows import ask_windows

        return {**ask_windows(), "memory": _memory()}
    if sys.platform == "darwin":
        from core.machine.apple import ask_sysctl

        return {"sysctl": ask_sysctl(), "memory": _memory()}
    return ask_sysfs(Path("/"))


def _disk_free(folder: Path) -> int | None:
    """Free bytes where `folder` is, or will be."""
    existing = next((place for place in (folder, *folder.absolute().parents) if place.exists()), None)
    try:
        return shutil.disk_usage(existing).free if existing else None
    except OSError:
        return None  # said as a problem when it is read


def _memory() -> dict[str, int]:
    """Total and available bytes; nothing before psutil is installed (the doctor asks then, too)."""
    try:
        import psutil
    except ImportError:
        return {}
    memory = psutil.virtual_memory()
    return {"total": memory.total, "available": memory.available}
