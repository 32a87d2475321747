"""One graphics card in the words that everybody else uses, and the families that cards belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

GIB = 1 << 30
MIB = 1 << 20
# what a training gets of memory that a card shares with the machine
_OF_SHARED = 2 / 3
# From Ampere's GeForce cards on, a laptop's card says so in its name (but the 2050, which no desktop has);
# before, it carries the desktop's name
NAMES_LAPTOPS = (8, 6)
Vendor = Literal["nvidia", "amd", "intel", "apple"]
# The oldest compute capability of each family (CUDA C++ Programming Guide, "Compute Capabilities"); 8.9 is
# Ada though its major number is Ampere's
_NVIDIA = {
    (10, 0): "Blackwell",
    (9, 0): "Hopper",
    (8, 9): "Ada",
    (8, 0): "Ampere",
    (7, 5): "Turing",
    (7, 0): "Volta",
    (6, 0): "Pascal",
    (5, 0): "Maxwell",
    (3, 0): "Kepler",
}
# LLVM, "User Guide for AMDGPU Backend", table of processors. The longest prefix that matches counts.
_AMD = {
    "GCN2": ("gfx7",),
    "GCN4": ("gfx8",),
    "Vega": ("gfx900", "gfx902", "gfx904", "gfx906", "gfx909", "gfx90c"),
    "CDNA1": ("gfx908",),
    "CDNA2": ("gfx90a",),
    "CDNA3": ("gfx94",),
    "CDNA4": ("gfx95",),
    "RDNA1": ("gfx101",),
    "RDNA2": ("gfx103",),
    "RDNA3": ("gfx110",),
    "RDNA3.5": ("gfx115",),
    "RDNA4": ("gfx120",),
}


def nvidia_family(capability: tuple[int, int]) -> str:
    """`Ada` of (8, 9); empty for what is older than Kepler."""
    return next((name for oldest, name in _NVIDIA.items() if capability >= oldest), "")


def amd_family(gfx: str) -> str:
    """`RDNA3` of gfx1100; empty for a name that is not in the table."""
    return next((name for name, prefixes in _AMD.items() if gfx.startswith(prefixes)), "")


def computes_bf16(vendor: str, arch: str, capability: tuple[int, int] | None) -> bool:
    """Whether the hardware multiplies bfloat16: compute capability 8.0 and newer, AMD's matrix units
    (CDNA, RDNA3 and newer; RDNA2 only converts), Intel's XMX, Apple's GPUs from the M2 on (Metal feature set
    tables, "bfloat": Apple8)."""
    if vendor == "nvidia":
        return capability is not None and capability >= (8, 0)
    if vendor == "amd":
        return arch.startswith("CDNA") or (arch.startswith("RDNA") and arch >= "RDNA3")
    if vendor == "intel":
        return arch in ("Alchemist", "Battlemage")
    return arch[1:].isdigit() and int(arch[1:]) >= 2


@dataclass(frozen=True)
class Gpu:
    """One graphics card. Memory in bytes; `capability` is CUDA's compute capability, None elsewhere.

    `arch` is the family (Ampere, RDNA3, Alchemist, M3) and `bf16` whether it computes in bfloat16; left out,
    both follow from the rest. `cuda` is the newest CUDA that the driver runs, not a toolkit. `display`: a
    screen hangs on it. `unified`: it shares the machine's RAM. `index` is its number among its maker's cards,
    in the order of their slots; `power` its limit in watts, 0 if unknown. `closed` says why no
    program gets at it as the machine is set up, and what to do.
    """

    name: str
    total: int
    free: int
    capability: tuple[int, int] | None
    driver: str
    vendor: Vendor = "nvidia"
    arch: str = ""
    bf16: bool = cast(bool, None)
    cuda: str = ""
    laptop: bool = False
    display: bool = False
    unified: bool = False
    index: int = 0
    power: int = 0
    closed: str = ""

    def __post_init__(self) -> None:
        if not self.arch and self.capability is not None:
            object.__setattr__(self, "arch", nvidia_family(self.capability))
        if self.bf16 is None:
            object.__setattr__(self, "bf16", computes_bf16(self.vendor, self.arch, self.capability))

    @property
    def total_gib(self) -> float:
        return self.total / GIB

    @property
    def class_gib(self) -> float:
        """The memory that decides which preset suits: two thirds of what it shares with the machine, but all
        of it on Apple's, whose presets count so."""
        shared = self.unified and self.vendor != "apple"
        return self.total_gib * (_OF_SHARED if shared else 1)

    @property
    def strength(self) -> tuple[bool, int, tuple[int, int]]:
        """Memory of its own before memory shared with the machine, then the amount, then the newest."""
        return not self.unified, self.total, self.capability or (0, 0)
