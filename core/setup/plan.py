"""Decides which builds fit a machine, and says why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from core.machine.builds import AMD_RUNS, NEW_GPUS, OLD_GPUS
from core.setup.machine import Gpu, Machine

TORCH = "2.13.0"
TORCHVISION = "0.28.0"
ROCM = "rocm7.2"
TORCH_INDEX = "https://download.pytorch.org/whl"
LLAMA_INDEX = "https://abetlen.github.io/llama-cpp-python/whl"


@dataclass(frozen=True)
class Plan:
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
        kind = {"cpu": "CPU", "default": "Apple silicon"}.get(self.torch)
        return kind or self.torch.replace("cu1", "CUDA 1").replace("rocm", "ROCm ")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> Plan:
        return Plan(value["torch"], value["reason"], tuple(value["llama"]), tuple(value["notes"]))


def choose_plan(machine: Machine) -> Plan:
    """The builds for `machine`; falls back to the CPU with the reason and what would help in `notes`."""
    if machine.system == "macos":
        return Plan("default", "Apple silicon: PyTorch's own macOS build", ("metal", "cpu"))
    if machine.gpus:
        return _plan_nvidia(machine)
    notes = tuple(
        f"{problem}. Mend the driver, then run `python app.py setup`." for problem in machine.problems
    )
    if machine.amd:
        return _plan_amd(machine)
    if machine.intel_gpu:
        notes += ("An Intel GPU was found; training on it is not supported yet.",)
    return _cpu("no GPU found that can train", notes)


def _cpu(reason: str, notes: tuple[str, ...] = ()) -> Plan:
    return Plan("cpu", reason, ("cpu",), notes)


def _plan_nvidia(machine: Machine) -> Plan:
    gpu = strongest(machine.gpus)
    cuda = _level(machine)
    level = f"driver {machine.driver} (CUDA {cuda[0]}.{cuda[1]})"
    if cuda < (12, 0):
        return _cpu(f"{level} is too old for {gpu.name}", (_update("525"),))
    if gpu.capability and gpu.capability < OLD_GPUS[0]:
        return _cpu(f"{gpu.name} has compute capability {_dotted(gpu)}; PyTorch {TORCH} starts at 5.0")
    if gpu.capability and gpu.capability > OLD_GPUS[1]:
        if cuda < (12, 8):
            return _cpu(f"{gpu.name} needs CUDA 12.8, {level} is older", (_update("570"),))
        build = "cu130" if cuda >= (13, 0) else "cu129"
    elif cuda >= (13, 0) and (gpu.capability or NEW_GPUS[0]) >= NEW_GPUS[0]:
        build = "cu130"
    else:
        build = "cu126"
    llama = "cu130" if build == "cu130" else "cu124"
    return Plan(build, f"{gpu.name}, {level}", (llama, "cpu"))


def _level(machine: Machine) -> tuple[int, int]:
    return machine.cuda or (0, 0)


def strongest(gpus: tuple[Gpu, ...]) -> Gpu:
    """The GPU that training will use: most memory, then the newest."""
    return max(gpus, key=lambda gpu: (gpu.memory_mb, gpu.capability or (0, 0)))


def _dotted(gpu: Gpu) -> str:
    return ".".join(map(str, gpu.capability or ()))


def _update(version: str) -> str:
    return f"Update the NVIDIA driver to {version} or newer, then run `python app.py setup`."


def _plan_amd(machine: Machine) -> Plan:
    runs = [name for name in machine.amd if name.startswith(AMD_RUNS)]
    if not runs:
        return _cpu(f"PyTorch's ROCm build does not run on {', '.join(machine.amd)}")
    if machine.system != "linux":
        return _cpu("PyTorch's ROCm build is for Linux")
    return Plan(ROCM, f"AMD GPU {runs[0]}", ("cpu",), ("Training on AMD GPUs is untested here.",))
