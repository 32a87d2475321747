"""This machine as Hardware: raw answers (or a recording of another machine's) read into words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.machine.amd import amd_gpus
from core.machine.apple import apple_gpus
from core.machine.builds import parse_torch
from core.machine.cpu import cpu_instructions, cpu_name, cpu_problems
from core.machine.intel import intel_gpus
from core.machine.kinds import Gpu, Hardware
from core.machine.nvidia import nvidia_gpus
from core.machine.probe import take_probe
from core.machine.readings import is_wsl, whole
from core.machine.windows import adapter_gpus
from core.machine.wsl import wsl_problems

# What an answer of a form that nobody expected raises while it is read
_UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)
_PARTS = {
    **dict.fromkeys(("system", "environment", "memory", "nvml", "pci", "kfd", "sysctl", "cgroup"), dict),
    **dict.fromkeys(("torch", "processor_features"), dict),
    "adapters": list,
}
Reader = Callable[[dict[str, Any]], tuple[list[Gpu], list[str]]]


def find_hardware(folder: Path | None = None, drivers: bool = True) -> Hardware:
    """Look at the machine now. `folder` decides which disk is measured; without `drivers` NVIDIA's cards are
    left out. A probe that fails is a sentence in `problems`."""
    return read_hardware(take_probe(folder, drivers=drivers))


def read_hardware(answers: dict[str, Any]) -> Hardware:
    """The machine that gave these raw answers. Raises nothing, whatever stands in them."""
    raw, problems = _sound(answers)
    gpus: list[Gpu] = []
    readers: dict[str, Reader] = {
        "the NVIDIA driver": nvidia_gpus,
        "AMD's driver": amd_gpus,
        "Intel's driver": intel_gpus,
        "macOS": lambda raw: apple_gpus(raw, memory(raw)[1]),
        "Windows": adapter_gpus,
        "WSL": lambda raw: ([], wsl_problems(raw)),
    }
    for who, reader in readers.items():
        try:
            found, said = reader(raw)
        except _UNREADABLE as error:
            found, said = [], [f"What {who} says could not be understood ({type(error).__name__}: {error})."]
        gpus += found
        problems += said
    return _hardware(raw, gpus, problems)


def memory(raw: dict[str, Any]) -> tuple[int, int]:
    """(RAM, free RAM) in bytes; a container's limit counts, it kills what goes beyond."""
    told, limits = raw.get("memory", {}), raw.get("cgroup", {})
    total, available = whole(told.get("total")), whole(told.get("available"))
    limit = whole(limits.get("memory.max"))  # “max” where there is none
    if not 0 < limit < total:
        return max(0, total), max(0, available)
    return limit, max(0, min(available, limit - whole(limits.get("memory.current"))))


def _sound(answers: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The answers without the parts that have the wrong form, and a sentence for each of those."""
    raw = {name: value for name, value in answers.items() if value is not None}
    wrong = [name for name, kind in _PARTS.items() if name in raw and not isinstance(raw[name], kind)]
    for name in wrong:
        del raw[name]
    return raw, [f"What the machine says of “{name}” has an unknown form." for name in wrong]


def _hardware(raw: dict[str, Any], gpus: list[Gpu], problems: list[str]) -> Hardware:
    system = raw.get("system", {})
    instructions = cpu_instructions(raw)
    ram, ram_free = memory(raw)
    if raw.get("disk_free") is None:
        problems = [*problems, "The free space on the disk could not be measured."]
    if not ram:
        problems = [*problems, "How much memory (RAM) this machine has could not be found out."]
    return Hardware(
        gpus=tuple(gpus),
        cpu=cpu_name(raw),
        cores=max(1, whole(raw.get("cores"), 1)),
        ram=ram,
        ram_free=ram_free,
        disk_free=max(0, whole(raw.get("disk_free"))),
        system=f"{system.get('system', '')} {system.get('release', '')}".strip(),
        instructions=instructions,
        wsl=is_wsl(raw),
        problems=tuple(dict.fromkeys([*problems, *cpu_problems(raw, instructions)])),
        torch=parse_torch(raw.get("torch")),
    )
