"""Why a card does not train, in a sentence with what to do; None where it does."""

from __future__ import annotations

from core.machine.builds import TorchBuild, torch_build
from core.machine.kinds import Gpu, Hardware

# Unsloth and Triton, which compiles its kernels, start at Volta
_OLDEST_CAPABILITY = (7, 0)
# AMD families that ROCm's PyTorch has kernels for
_AMD_ABLE = ("RDNA3", "RDNA3.5", "RDNA4", "CDNA1", "CDNA2", "CDNA3", "CDNA4")
# GiB of the smallest card that a preset is made for (presets/*.yaml, compared by a test)
LEAST_GIB = {"nvidia": 3.5, "amd": 7.5, "intel": 5.2, "apple": 7.0}
_SET_UP = "run `python app.py setup`"
_XPU = "set-up does not install its XPU build yet (pip's index https://download.pytorch.org/whl/xpu has it)"
# the build of PyTorch that a maker's cards need, and how to get it
_BUILD_OF = {"nvidia": ("cuda", _SET_UP), "amd": ("rocm", _SET_UP), "intel": ("xpu", _XPU)}
_MADE_FOR = {"cpu": "CPUs", "cuda": "NVIDIA GPUs", "rocm": "AMD GPUs", "xpu": "Intel GPUs"}


def refusal(gpu: Gpu, hardware: Hardware) -> str | None:
    """Why `gpu` does not train on this machine: it can't, or has too little memory for it."""
    return inability(gpu, hardware) or _too_small(gpu)


def inability(gpu: Gpu, hardware: Hardware) -> str | None:
    """Why `gpu` can't train on this machine. What is not known (driver, PyTorch) is not held against it."""
    build = torch_build(hardware.torch)
    if gpu.vendor == "nvidia":
        return _too_old(gpu) or _other_build(gpu, build) or _nvidia_build(gpu, build)
    if gpu.vendor == "amd":
        return _amd_family(gpu) or _amd_system(gpu, hardware) or _closed(gpu) or _other_build(gpu, build)
    return _other_build(gpu, build)


def _closed(gpu: Gpu) -> str | None:
    return f"{gpu.name} can't be used as it is. {gpu.closed}" if gpu.closed else None


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


def _other_build(gpu: Gpu, build: TorchBuild | None) -> str | None:
    """The installed PyTorch is made for other hardware."""
    wanted, what_to_do = _BUILD_OF.get(gpu.vendor, ("", ""))
    if build is None or not build.kind or not wanted or build.kind == wanted:
        return None
    made_for = _MADE_FOR[build.kind]
    if gpu.vendor != "nvidia" and build.kind != "cpu":
        what_to_do = ""  # another maker's card trains here; this one is beside it, most often inside the CPU
    said = f"{gpu.name} is here, but the installed PyTorch {build.version} is made for {made_for}"
    return f"{said}: {what_to_do}." if what_to_do else f"{said}."


def _nvidia_build(gpu: Gpu, build: TorchBuild | None) -> str | None:
    if build is None or build.kind != "cuda":
        return None
    return _driver_too_old(gpu, build) or _no_code(gpu, build)


def _driver_too_old(gpu: Gpu, build: TorchBuild) -> str | None:
    """By the CUDA level that the driver tells; drivers before 410 tell none, there its number counts."""
    level = _leading(gpu.cuda)
    driver = _leading(gpu.driver)
    too_old = level < build.level[0] if level else 0 < driver < int(build.driver)
    if not too_old:
        return None
    known = f"{gpu.driver} (CUDA {gpu.cuda})" if gpu.cuda else gpu.driver
    return (
        f"The NVIDIA driver {known} is too old for the installed PyTorch {build.version}: install driver "
        f"{build.driver} or newer, or {_SET_UP} for a build that this driver runs."
    )


def _no_code(gpu: Gpu, build: TorchBuild) -> str | None:
    oldest, newest = build.capabilities
    if gpu.capability is None or oldest <= gpu.capability <= newest:
        return None
    return (
        f"The installed PyTorch {build.version} has no code for {gpu.name} (compute capability "
        f"{_dotted(gpu.capability)}; it covers {_dotted(oldest)} to {_dotted(newest)}): {_SET_UP}."
    )


def _amd_family(gpu: Gpu) -> str | None:
    if not gpu.arch or gpu.arch in _AMD_ABLE:
        return None
    return f"{gpu.name} is {gpu.arch}; AMD's PyTorch (ROCm) trains on RDNA3, RDNA4 and CDNA cards only."


def _amd_system(gpu: Gpu, hardware: Hardware) -> str | None:
    if hardware.wsl or hardware.system.startswith("Windows"):
        here = "WSL" if hardware.wsl else "Windows"
        return f"{gpu.name}: training on AMD GPUs needs Linux itself, not {here}."
    return None


def _leading(version: str) -> int:
    """570 of `570.86.16`, 12 of `12.8`, 0 of nothing."""
    number = version.partition(".")[0]
    return int(number) if number.isdecimal() else 0


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
