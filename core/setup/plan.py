"""Decides which builds fit a machine, and says why."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import dataclass, replace
from typing import Any

from core.base.errors import UserError
from core.machine import NEW_GPUS, OLD_GPUS, Gpu, Hardware, inability, read_hardware

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)
TORCH = "2.13.0"
TORCHVISION = "0.28.0"
ROCM = "rocm7.2"
TORCH_INDEX = "https://download.pytorch.org/whl"
LLAMA_INDEX = "https://abetlen.github.io/llama-cpp-python/whl"


def check_python(
    python: tuple[int, ...] = sys.version_info[:3],
    bits: int = 64 if sys.maxsize > 2**32 else 32,
    system: str = platform.system(),
    machine: str = platform.machine(),
) -> None:
    """A UserError that names a usable Python unless this one is 3.10 to 3.13 and 64-bit."""
    version = ".".join(map(str, python))
    others = [f"python3.{minor}" for minor in (12, 11, 13, 10) if shutil.which(f"python3.{minor}")]
    other = "Install Python 3.12 from python.org or your package manager and start app.py with it."
    if others:
        other = f"Start it with `{others[0]} app.py`."
    if bits != 64:
        raise UserError(f"This is a 32-bit Python {version}; PyTorch needs a 64-bit one. {other}")
    if not OLDEST_PYTHON <= python[:2] <= NEWEST_PYTHON:
        raise UserError(f"LoRA Garage needs Python 3.10 to 3.13; this is {version}. {other}")
    if (system, machine) == ("Darwin", "x86_64"):
        raise UserError("PyTorch 2.13 has no build for Intel Macs; LoRA Garage needs Apple silicon here.")


@dataclass(frozen=True)
class InstallPlan:
    """The builds to install. `torch` is cpu, cu126, cu129, cu130, rocm7.2 or default (macOS)."""

    torch: str
    reason: str
    llama: tuple[str, ...]  # names of prebuilt indexes to try before a source build
    notes: tuple[str, ...] = ()

    @property
    def cuda(self) -> bool:
        return self.torch.startswith("cu")

    @property
    def torch_name(self) -> str:
        """How a person calls this build."""
        if self.cuda:
            return f"CUDA {self.torch[2:4]}.{self.torch[4:]}"
        kind = {"cpu": "CPU", "default": "Apple silicon"}.get(self.torch)
        return kind or self.torch.replace("rocm", "ROCm ")

    @staticmethod
    def from_json(value: dict[str, Any]) -> InstallPlan:
        return InstallPlan(value["torch"], value["reason"], tuple(value["llama"]), tuple(value["notes"]))


def plan_for(answers: dict[str, Any]) -> InstallPlan:
    """The builds for the machine that gave these raw answers. A card that CUDA_VISIBLE_DEVICES hides for once
    counts, and what is installed does not."""
    return choose_plan(read_hardware({**answers, "environment": {}, "torch": None}))


def choose_plan(hardware: Hardware) -> InstallPlan:
    """The builds for a machine on which no PyTorch is known; falls back to the CPU with the reason and what
    would help in `notes`."""
    if hardware.system.startswith("Darwin"):
        return InstallPlan("default", "Apple silicon: PyTorch's own macOS build", ("metal", "cpu"))
    makers = {
        vendor: replace(hardware, gpus=tuple(gpu for gpu in hardware.gpus if gpu.vendor == vendor)).best_gpu
        for vendor in ("nvidia", "amd", "intel")
    }
    if makers["nvidia"]:
        return _plan_nvidia(makers["nvidia"])
    notes = hardware.problems
    if notes:
        notes += ("Once that is mended, run `python app.py setup`.",)
    if makers["amd"]:
        return _plan_amd(makers["amd"], hardware, notes)
    if makers["intel"]:
        notes += ("An Intel GPU was found; training on it is not supported yet.",)
    return _cpu("no GPU found that can train", notes)


def _cpu(reason: str, notes: tuple[str, ...] = ()) -> InstallPlan:
    return InstallPlan("cpu", reason, ("cpu",), notes)


def _plan_nvidia(gpu: Gpu) -> InstallPlan:
    """The newest build that both the driver and the card run."""
    cuda = tuple(map(int, (gpu.cuda or "0.0").split(".")))
    level = f"driver {gpu.driver} (CUDA {gpu.cuda or 'not told'})"
    if cuda < (12, 0):
        return _cpu(f"{level} is too old for {gpu.name}", (_update("525"),))
    capability = gpu.capability or NEW_GPUS[0]
    if capability < OLD_GPUS[0]:
        dotted = ".".join(map(str, capability))
        return _cpu(f"{gpu.name} has compute capability {dotted}; PyTorch {TORCH} starts at 5.0")
    if capability > OLD_GPUS[1] and cuda < (12, 8):
        return _cpu(f"{gpu.name} needs CUDA 12.8, {level} is older", (_update("570"),))
    if cuda >= (13, 0) and capability >= NEW_GPUS[0]:
        return InstallPlan("cu130", f"{gpu.name}, {level}", ("cu130", "cpu"))
    build = "cu129" if capability > OLD_GPUS[1] else "cu126"
    return InstallPlan(build, f"{gpu.name}, {level}", ("cu124", "cpu"))


def _update(version: str) -> str:
    return f"Update the NVIDIA driver to {version} or newer, then run `python app.py setup`."


def _plan_amd(gpu: Gpu, hardware: Hardware, notes: tuple[str, ...]) -> InstallPlan:
    reason = inability(gpu, hardware)
    if reason or not gpu.arch:
        return _cpu((reason or f"no family of AMD GPUs is known for {gpu.name}").rstrip("."), notes)
    return InstallPlan(ROCM, gpu.name, ("cpu",), ("Training on AMD GPUs is untested here.",))
