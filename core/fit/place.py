"""How much of a machine a training may use."""

from __future__ import annotations

from core.fit.workload import Place
from core.machine import Gpu, Hardware

GIB = 1 << 30
# what a desktop takes of the card that its screen hangs on: on Windows about 1 GiB, on Linux less
_WINDOWS_DESKTOP, _SCREEN = GIB, GIB // 2
# the part of the RAM that Metal lets one process have (recommendedMaxWorkingSetSize): two thirds up to 36 GiB
_APPLE_SMALL, _APPLE_LARGE, _APPLE_EDGE = 2 / 3, 3 / 4, 36 * GIB
# what the system and the page of this app need of the RAM
_SYSTEM_SHARE, _SYSTEM_LEAST = 0.1, int(1.5 * GIB)


def place_of(hardware: Hardware, gpu: Gpu | None = None) -> Place:
    """The card that would train (or the given one) with what is left to a training; else the CPU."""
    card = gpu or hardware.training_gpu
    desktop = "Windows" if hardware.wsl else hardware.system  # inside WSL, Windows' desktop holds the card
    usable = usable_of(card, desktop) if card else ram_for_training(hardware.ram)
    return Place(card, usable, hardware.ram, hardware.disk_free, hardware.system)


def usable_of(gpu: Gpu, system: str = "") -> int:
    """The card's memory without what the desktop takes. Bytes."""
    if gpu.unified:
        return round(gpu.total * (_APPLE_SMALL if gpu.total <= _APPLE_EDGE else _APPLE_LARGE))
    if system.startswith("Windows"):
        return gpu.total - (_WINDOWS_DESKTOP if gpu.display or gpu.laptop else _SCREEN)
    return gpu.total - (_SCREEN if gpu.display else 0)


def ram_for_training(ram: int) -> int:
    """The machine's memory without the system's share."""
    return max(0, ram - max(_SYSTEM_LEAST, round(_SYSTEM_SHARE * ram)))
