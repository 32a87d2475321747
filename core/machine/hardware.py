"""The machine and its graphics cards in the words that everybody else uses, and why a card does not train."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

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


# Unsloth and Triton, which compiles its kernels, start at Volta
_OLDEST_CAPABILITY = (7, 0)
# AMD families that ROCm's PyTorch has kernels for; RDNA2 (gfx103x) is not among them
ROCM_FAMILIES = ("RDNA3", "RDNA3.5", "RDNA4", "CDNA1", "CDNA2", "CDNA3", "CDNA4")
# GiB of the smallest card that a preset is made for (presets/*.yaml, compared by a test)
LEAST_GIB = {"nvidia": 3.5, "amd": 7.5, "intel": 5.2, "apple": 7.0}
_SET_UP = "run `python app.py setup`"
_XPU = "set-up does not install its XPU build yet (pip's index https://download.pytorch.org/whl/xpu has it)"
# the build of PyTorch that a maker's cards need, and how to get it
_BUILD_OF = {"nvidia": ("cuda", _SET_UP), "amd": ("rocm", _SET_UP), "intel": ("xpu", _XPU)}
_MADE_FOR = {"cpu": "CPUs", "cuda": "NVIDIA GPUs", "rocm": "AMD GPUs", "xpu": "Intel GPUs"}
# Compute capabilities that the builds of torch 2.13 hold code for (their `torch.cuda.get_arch_list()`)
OLD_GPUS = ((5, 0), (9, 0))  # cu126
NEW_GPUS = ((7, 5), (12, 9))  # cu129, cu130
# CUDA Compatibility, "Minor Version Compatibility", table 1: a build of CUDA 12.x runs on every driver of
# CUDA 12, one of 13.x on every driver of CUDA 13
_OLDEST_DRIVER = {12: "525", 13: "580"}


def nvidia_family(capability: tuple[int, int]) -> str:
    """`Ada` of (8, 9); empty for what is older than Kepler."""
    return next((name for oldest, name in _NVIDIA.items() if capability >= oldest), "")


def amd_family(gfx: str) -> str:
    """`RDNA3` of gfx1100; empty for a name that is not in the table."""
    return next((name for name, prefixes in _AMD.items() if gfx.startswith(prefixes)), "")


@dataclass(frozen=True)
class Gpu:
    """One graphics card. Memory in bytes; `capability` is CUDA's compute capability, None elsewhere.

    `arch` is the family (Ampere, RDNA3, Alchemist, M3); left out, it follows from `capability`. `cuda` is the
    newest CUDA that the driver runs, not a toolkit. `display`: a screen hangs on it. `unified`: it shares the
    machine's RAM. `index` is its number among its maker's cards, in the order of their slots; `power` its
    limit in watts, 0 if unknown. `closed` says why no program gets at it as the machine is set up, and what
    to do.
    """

    name: str
    total: int
    free: int
    capability: tuple[int, int] | None
    driver: str
    vendor: Vendor = "nvidia"
    arch: str = ""
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

    @property
    def bf16(self) -> bool:
        """Whether it multiplies bfloat16: compute capability 8.0 and newer, AMD's matrix units (CDNA, RDNA3
        and newer; RDNA2 only converts), Intel's XMX, Apple's GPUs from the M2 on (Metal feature set tables,
        "bfloat": Apple8)."""
        if self.vendor == "nvidia":
            return self.capability is not None and self.capability >= (8, 0)
        if self.vendor == "amd":
            return self.arch.startswith("CDNA") or (self.arch.startswith("RDNA") and self.arch >= "RDNA3")
        if self.vendor == "intel":
            return self.arch in ("Alchemist", "Battlemage")
        return self.arch[1:].isdigit() and int(self.arch[1:]) >= 2

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


@dataclass(frozen=True)
class Hardware:
    """The machine as it was a moment ago. Memory and disk in bytes.

    `instructions` are the CPU's that matter for training and chat (avx2, avx512_bf16, neon …). `problems` are
    sentences about what could not be found out, and what to do. `torch` is the build of PyTorch that is
    installed here (`2.13.0+cu130`), empty where there is none or where nobody looked.
    """

    gpus: tuple[Gpu, ...]
    cpu: str
    cores: int
    ram: int
    ram_free: int
    disk_free: int
    system: str
    instructions: tuple[str, ...] = ()
    wsl: bool = False
    problems: tuple[str, ...] = ()
    torch: str = ""

    @cached_property
    def training_gpu(self) -> Gpu | None:
        """The card that will train: the one with the most memory of those that may; None leaves the CPU."""
        able = [gpu for gpu in self.gpus if refusal(gpu, self) is None]
        return max(able, key=lambda gpu: gpu.strength, default=None)

    @cached_property
    def best_gpu(self) -> Gpu | None:
        """The card that will train, else the largest of those that may not (`refusal` says why)."""
        return self.training_gpu or max(self.gpus, key=lambda gpu: gpu.strength, default=None)

    @property
    def headline(self) -> str:
        """One line for the header of the page."""
        gpu = self.best_gpu
        cores = f"{self.cores} CPU core{'s' if self.cores != 1 else ''}"
        if gpu is None:
            return f"No GPU: training on {cores}"
        if self.training_gpu is None:
            return f"{gpu.name} can't train: training on {cores}"
        shared = "shared, " if gpu.unified else ""
        return f"{gpu.name} · {gpu.total_gib:.0f} GB · {shared}{gpu.free / GIB:.1f} free"


def refusal(gpu: Gpu, hardware: Hardware) -> str | None:
    """Why `gpu` does not train on this machine: it can't, or has too little memory for it."""
    least = LEAST_GIB[gpu.vendor]
    if (reason := inability(gpu, hardware)) or gpu.class_gib >= least:
        return reason
    shared = "may take" if gpu.unified else "has"
    return f"{gpu.name} {shared} {gpu.class_gib:.1f} GB of memory; training starts at {least:g} GB."


def inability(gpu: Gpu, hardware: Hardware) -> str | None:
    """Why `gpu` can't train on this machine. What is not known (driver, PyTorch) is not held against it."""
    if gpu.vendor == "nvidia":
        return _too_old(gpu) or _other_build(gpu, hardware) or _driver_or_code(gpu, hardware)
    if gpu.vendor == "amd":
        return _amd_without_rocm(gpu, hardware) or _other_build(gpu, hardware)
    return _other_build(gpu, hardware)


def _too_old(gpu: Gpu) -> str | None:
    if gpu.capability is None or gpu.capability >= _OLDEST_CAPABILITY:
        return None
    return (
        f"{gpu.name} has compute capability {_dotted(gpu.capability)} ({gpu.arch or 'older than Kepler'}); "
        "training needs 7.0 (Volta, Turing) or newer."
    )


def _amd_without_rocm(gpu: Gpu, hardware: Hardware) -> str | None:
    if gpu.arch and gpu.arch not in ROCM_FAMILIES:
        return f"{gpu.name} is {gpu.arch}; AMD's PyTorch (ROCm) trains on RDNA3, RDNA4 and CDNA cards only."
    if hardware.wsl or hardware.system.startswith("Windows"):
        here = "WSL" if hardware.wsl else "Windows"
        return f"{gpu.name}: training on AMD GPUs needs Linux itself, not {here}."
    return f"{gpu.name} can't be used as it is. {gpu.closed}" if gpu.closed else None


def torch_build(version: str) -> tuple[str, tuple[int, int]]:
    """cpu, cuda, rocm, xpu, or nothing where the version doesn't say, and the CUDA level: `2.13.0+cu126` is a
    build for CUDA 12.6."""
    local = version.partition("+")[2]
    if level := re.fullmatch(r"cu(\d+)(\d)", local):
        return "cuda", (int(level[1]), int(level[2]))
    return next((kind for kind in ("cpu", "rocm", "xpu") if local.startswith(kind)), ""), (0, 0)


def _other_build(gpu: Gpu, hardware: Hardware) -> str | None:
    """The installed PyTorch is made for other hardware."""
    kind, _ = torch_build(hardware.torch)
    wanted, what_to_do = _BUILD_OF.get(gpu.vendor, ("", ""))
    if not kind or not wanted or kind == wanted:
        return None
    if gpu.vendor != "nvidia" and kind != "cpu":
        what_to_do = ""  # another maker's card trains here; this one is beside it, most often inside the CPU
    end = f": {what_to_do}." if what_to_do else "."
    return (
        f"{gpu.name} is here, but the installed PyTorch {hardware.torch} is made for {_MADE_FOR[kind]}{end}"
    )


def _driver_or_code(gpu: Gpu, hardware: Hardware) -> str | None:
    """The installed CUDA build wants a newer driver, or has no code for the card."""
    kind, level = torch_build(hardware.torch)
    if kind != "cuda":
        return None
    needed = _OLDEST_DRIVER.get(level[0], _OLDEST_DRIVER[max(_OLDEST_DRIVER)])
    cuda, driver = _leading(gpu.cuda), _leading(gpu.driver)
    # drivers before 410 tell no CUDA level, there their number counts
    if cuda < level[0] if cuda else 0 < driver < int(needed):
        here = f"{gpu.driver} (CUDA {gpu.cuda})" if gpu.cuda else gpu.driver
        return (
            f"The NVIDIA driver {here} is too old for the installed PyTorch {hardware.torch}: install driver "
            f"{needed} or newer, or {_SET_UP} for a build that this driver runs."
        )
    oldest, newest = NEW_GPUS if level >= (12, 7) else OLD_GPUS
    if gpu.capability is None or oldest <= gpu.capability <= newest:
        return None
    return (
        f"The installed PyTorch {hardware.torch} has no code for {gpu.name} (compute capability "
        f"{_dotted(gpu.capability)}; it covers {_dotted(oldest)} to {_dotted(newest)}): {_SET_UP}."
    )


def _leading(version: str) -> int:
    """570 of `570.86.16`, 12 of `12.8`, 0 of nothing."""
    number = version.partition(".")[0]
    return int(number) if number.isdecimal() else 0


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
