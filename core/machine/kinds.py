"""The words of the hardware: Gpu and Hardware, as everybody else sees them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, cast

from core.machine.families import computes_bf16, nvidia_family

GIB = 1 << 30
MIB = 1 << 20
# what a training gets of memory that a card shares with the machine
_OF_SHARED = 2 / 3
Vendor = Literal["nvidia", "amd", "intel", "apple"]


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


@dataclass(frozen=True)
class Hardware:
    """The machine as found a moment ago. Memory and disk in bytes.

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
        from core.machine.refusals import refusal

        able = [gpu for gpu in self.gpus if refusal(gpu, self) is None]
        return max(able, key=_strength, default=None)

    @cached_property
    def best_gpu(self) -> Gpu | None:
        """The card that will train, else the largest of those that may not (`refusal` says why)."""
        return self.training_gpu or max(self.gpus, key=_strength, default=None)

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


def _strength(gpu: Gpu) -> tuple[bool, int, tuple[int, int]]:
    """Memory of its own before memory shared with the machine, then the amount, then the newest."""
    return not gpu.unified, gpu.total, gpu.capability or (0, 0)
