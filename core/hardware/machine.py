"""What is in this machine: GPUs, CPU, memory, disk. Imports no torch, so the page can ask at any time."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psutil

GIB = 1 << 30


@dataclass(frozen=True)
class Gpu:
    """One graphics card. Memory in bytes; `capability` is CUDA's compute capability, None elsewhere."""

    name: str
    total: int
    free: int
    capability: tuple[int, int] | None
    driver: str

    @property
    def total_gib(self) -> float:
        return self.total / GIB

    @property
    def bf16(self) -> bool:
        """Whether it computes in bfloat16: compute capability 8.0 (Ampere) and newer."""
        return self.capability is not None and self.capability >= (8, 0)


@dataclass(frozen=True)
class Hardware:
    """The machine as found a moment ago. Memory and disk in bytes."""

    gpus: tuple[Gpu, ...]
    cpu: str
    cores: int
    ram: int
    ram_free: int
    disk_free: int
    system: str

    @cached_property
    def best_gpu(self) -> Gpu | None:
        return max(self.gpus, key=lambda gpu: gpu.total, default=None)

    @property
    def headline(self) -> str:
        """One line for the header of the page."""
        gpu = self.best_gpu
        if gpu is None:
            return f"No GPU: training on {self.cores} CPU core{'s' if self.cores != 1 else ''}"
        return f"{gpu.name} · {gpu.total_gib:.0f} GB · {gpu.free / GIB:.1f} free"


def find_hardware(folder: Path | None = None) -> Hardware:
    """Look at the machine now. `folder` decides which disk is measured."""
    memory = psutil.virtual_memory()
    return Hardware(
        gpus=tuple(_nvidia_gpus()),
        cpu=platform.processor() or platform.machine(),
        cores=usable_cores(),
        ram=memory.total,
        ram_free=memory.available,
        disk_free=shutil.disk_usage(folder or Path.home()).free,
        system=f"{platform.system()} {platform.release()}",
    )


def usable_cores() -> int:
    """Cores this process may use (a container may get fewer than the machine has)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _nvidia_gpus() -> list[Gpu]:
    """NVIDIA cards through NVML; none where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        driver = str(pynvml.nvmlSystemGetDriverVersion())
        return [
            _nvidia_gpu(pynvml.nvmlDeviceGetHandleByIndex(i), driver)
            for i in range(pynvml.nvmlDeviceGetCount())
        ]
    finally:
        pynvml.nvmlShutdown()


def _nvidia_gpu(handle: object, driver: str) -> Gpu:
    import pynvml

    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        name=str(pynvml.nvmlDeviceGetName(handle)),
        total=int(memory.total),
        free=int(memory.free),
        capability=(int(major), int(minor)),
        driver=driver,
    )
