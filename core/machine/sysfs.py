"""What Linux says of the machine in /sys and /proc: GPUs, AMD's compute nodes, CPU, memory."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from core.base.cores import ask_cgroup

# one CPU's block; the whole file is long on servers, and slow: the kernel asks every core
_CPUINFO_BYTES = 8192
_MEMINFO_BYTES = 512
_VALUE_BYTES = 256
_DISPLAY_CLASS = "0x03"
# AMD's compute-only cards say "processing accelerator"
_ACCELERATOR_CLASS = "0x12"
_PCI_FILES = ("class", "vendor", "device", "revision", "subsystem_vendor", "subsystem_device", "product_name")
_MEMORY_FILES = ("mem_info_vram_total", "mem_info_vram_used", "mem_info_gtt_total", "mem_info_gtt_used")
_KFD = "sys/class/kfd/kfd/topology/nodes"
_GPU_MAKERS = ("0x10de", "0x1002", "0x8086")


def ask_sysfs(root: Path) -> dict[str, Any]:
    """The raw answers below `root` ("/" but for tests)."""
    return {
        "memory": _memory(_start(root / "proc/meminfo", _MEMINFO_BYTES)),
        "cpuinfo": _start(root / "proc/cpuinfo", _CPUINFO_BYTES),
        "model": _start(root / "proc/device-tree/model", _VALUE_BYTES).strip("\0 \n"),
        "chassis": _start(root / "sys/class/dmi/id/chassis_type", _VALUE_BYTES).strip(),
        "cgroup": ask_cgroup(root),
        "dxg": (root / "dev/dxg").exists(),
        "pci": _display_cards(root),
        "kfd": _compute_nodes(root),
        "kfd_access": _access(root / "dev/kfd"),
    }


def _memory(meminfo: str) -> dict[str, int]:
    """Bytes of RAM in all, and those that a program could get without swapping."""
    kib = {name: int(number) for name, number in re.findall(r"^(\w+):\s+(\d+) kB$", meminfo, re.MULTILINE)}
    wanted = {"total": "MemTotal", "available": "MemAvailable"}
    return {name: kib[line] * 1024 for name, line in wanted.items() if line in kib}


def _display_cards(root: Path) -> dict[str, dict[str, Any]]:
    """Every GPU by its slot (0000:03:00.0)."""
    cards = {}
    for folder in sorted((root / "sys/bus/pci/devices").glob("*")):
        kind = _start(folder / "class", _VALUE_BYTES).strip()
        if not kind.startswith((_DISPLAY_CLASS, _ACCELERATOR_CLASS)):
            continue
        if _start(folder / "vendor", _VALUE_BYTES).strip() in _GPU_MAKERS:
            cards[folder.name] = _card(folder)
    return cards


def _card(folder: Path) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for name in (*_PCI_FILES, *_MEMORY_FILES):
        text = _start(folder / name, _VALUE_BYTES).strip()
        if text:
            answers[name] = text
    driver = folder / "driver"
    answers["driver"] = driver.resolve().name if driver.exists() else ""
    answers.update(_intel_memory(folder))
    for limit in sorted(folder.glob("hwmon/hwmon*/power1_cap")):
        answers["power1_cap"] = _start(limit, _VALUE_BYTES).strip()
    answers["connectors"] = {
        status.parent.name: _start(status, _VALUE_BYTES).strip()
        for status in sorted(folder.glob("drm/card*/card*-*/status"))
    }
    return answers


def _intel_memory(folder: Path) -> dict[str, Any]:
    """Sizes of memory as Intel's drivers tell them: xe by tile, i915 as a whole; and the slot's window."""
    tiles = sorted(folder.glob("tile*/physical_vram_size_bytes"))
    answers: dict[str, Any] = {}
    if tiles:
        answers["physical_vram_size_bytes"] = [_start(tile, _VALUE_BYTES).strip() for tile in tiles]
    for total in sorted(folder.glob("drm/card*/lmem_total_bytes")):
        answers["lmem_total_bytes"] = _start(total, _VALUE_BYTES).strip()
    window = _start(folder / "resource", 4096).splitlines()
    if len(window) > 2:
        answers["bar2"] = window[2]
    return answers


def _compute_nodes(root: Path) -> dict[str, str]:
    """KFD's properties of every node, as text; none without AMD's compute driver."""
    return {
        path.parent.name: _start(path, _CPUINFO_BYTES) for path in sorted((root / _KFD).glob("*/properties"))
    }


def _access(device: Path) -> str:
    """`ok`, `denied`, or `missing`."""
    if not device.exists():
        return "missing"
    return "ok" if os.access(device, os.R_OK | os.W_OK) else "denied"


def _start(path: Path, most: int) -> str:
    """The start of a small file. These files vanish and forbid as the kernel likes: unreadable is empty."""
    try:
        with open(path, "rb") as file:
            return file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""
