"""The machine in the words that everybody else uses, and why a card in it does not train."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from core.machine.gpu import GIB, Gpu

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
    return inability(gpu, hardware) or _too_small(gpu)


def inability(gpu: Gpu, hardware: Hardware) -> str | None:
    """Why `gpu` can't train on this machine. What is not known (driver, PyTorch) is not held against it."""
    if gpu.vendor == "nvidia":
        return _too_old(gpu) or _other_build(gpu, hardware) or _driver_or_code(gpu, hardware)
    if gpu.vendor == "amd":
        return _amd_without_rocm(gpu, hardware) or _other_build(gpu, hardware)
    return _other_build(gpu, hardware)


def _too_small(gpu: Gpu) -> str | None:
    least = LEAST_GIB[gpu.vendor]
    if gpu.class_gib >= least:
        return None
    shared = "may take" if gpu.unified else "has"
    return f"{gpu.name} {shared} {gpu.class_gib:.1f} GB of memory; training starts at {least:g} GB."


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
