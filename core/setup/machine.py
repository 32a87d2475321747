"""Finds what this machine has: system, Python, the GPU and its driver. Starts no CUDA, imports no torch."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.machine.families import gfx_name

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)

# Runs a command, gives its exit code and everything it printed; replaced by recordings in tests.
Ask = Callable[[list[str]], "tuple[int, str]"]

_SMI_OUTSIDE_PATH = (
    "/usr/lib/wsl/lib/nvidia-smi",
    r"C:\Windows\System32\nvidia-smi.exe",
    r"C:\Program Files\NVIDIA Corporation\NVSMI\nvidia-smi.exe",
)


@dataclass(frozen=True)
class Gpu:
    """One GPU. `memory_mb` is MiB as the driver says; `capability` is (major, minor), None when not told."""

    name: str
    memory_mb: int
    capability: tuple[int, int] | None = None


@dataclass(frozen=True)
class Machine:
    """What was found. `cuda` is the newest CUDA version that the driver can run, not a toolkit."""

    system: str  # linux, windows, macos
    arch: str  # x86_64, arm64
    python: tuple[int, int, int]
    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    cuda: tuple[int, int] | None = None
    amd: tuple[str, ...] = ()  # gfx names
    intel_gpu: bool = False
    problems: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def find_machine(ask: Ask | None = None, sysfs: Path = Path("/sys")) -> Machine:
    """Look at this machine; takes well under a second without an NVIDIA driver."""
    ask = ask or _ask
    system = {"Linux": "linux", "Windows": "windows", "Darwin": "macos"}.get(platform.system(), sys.platform)
    gpus, driver, cuda, problems = find_nvidia(ask)
    return Machine(
        system=system,
        arch=_architecture(platform.machine()),
        python=sys.version_info[:3],
        gpus=gpus,
        driver=driver,
        cuda=cuda,
        amd=find_amd(sysfs),
        intel_gpu=find_intel(sysfs),
        problems=problems,
    )


def check_python(machine: Machine, bits: int = 64 if sys.maxsize > 2**32 else 32) -> None:
    """A UserError that names a usable Python unless this one is 3.10 to 3.13 and 64-bit."""
    version = ".".join(map(str, machine.python))
    if bits != 64:
        raise UserError(f"This is a 32-bit Python {version}; PyTorch needs a 64-bit one. {_other_python()}")
    if not OLDEST_PYTHON <= machine.python[:2] <= NEWEST_PYTHON:
        raise UserError(f"LoRA Garage needs Python 3.10 to 3.13; this is {version}. {_other_python()}")
    if machine.system == "macos" and machine.arch == "x86_64":
        raise UserError("PyTorch 2.13 has no build for Intel Macs; LoRA Garage needs Apple silicon here.")


def _other_python() -> str:
    for minor in (12, 11, 13, 10):
        if shutil.which(f"python3.{minor}"):
            return f"Start it with `python3.{minor} app.py`."
    return "Install Python 3.12 from python.org or your package manager and start app.py with it."


def find_nvidia(ask: Ask) -> tuple[tuple[Gpu, ...], str | None, tuple[int, int] | None, tuple[str, ...]]:
    """(GPUs, driver version, CUDA level, problems) as nvidia-smi tells them; all empty without one."""
    smi = shutil.which("nvidia-smi") or next(
        (p for p in _SMI_OUTSIDE_PATH if Path(p).is_file()), "nvidia-smi"
    )
    code, header = ask([smi])
    if code == 127:
        return (), None, None, ()
    if code != 0:
        reason = header.strip().splitlines()[0] if header.strip() else f"exit code {code}"
        return (), None, None, (f"nvidia-smi is there but fails: {reason}",)
    gpus, driver = _query_gpus(smi, ask)
    return gpus, driver, parse_cuda_level(header), ()


def parse_cuda_level(header: str) -> tuple[int, int] | None:
    """The CUDA version in nvidia-smi's header, e.g. (12, 8). Newer drivers print `CUDA UMD Version`."""
    found = re.search(r"CUDA (?:UMD )?Version\s*:\s*(\d+)\.(\d+)", header)
    return (int(found[1]), int(found[2])) if found else None


def _query_gpus(smi: str, ask: Ask) -> tuple[tuple[Gpu, ...], str | None]:
    fields = "name,memory.total,driver_version,compute_cap"
    code, text = ask([smi, f"--query-gpu={fields}", "--format=csv,noheader,nounits"])
    if code != 0:  # drivers before 470 don't know compute_cap
        fields = "name,memory.total,driver_version"
        code, text = ask([smi, f"--query-gpu={fields}", "--format=csv,noheader,nounits"])
    rows = [[part.strip() for part in line.split(",")] for line in text.splitlines()] if code == 0 else []
    rows = [row for row in rows if len(row) >= 3]
    return tuple(_gpu(row) for row in rows), rows[0][2] if rows else None


def _gpu(row: list[str]) -> Gpu:
    memory = int(row[1]) if row[1].isdigit() else 0  # "[N/A]" where memory is shared with the CPU
    capability = re.fullmatch(r"(\d+)\.(\d+)", row[3]) if len(row) > 3 else None
    return Gpu(row[0], memory, (int(capability[1]), int(capability[2])) if capability else None)


def find_amd(sysfs: Path) -> tuple[str, ...]:
    """gfx names (gfx1100, gfx90a) of the AMD GPUs that the Linux kernel driver offers for compute."""
    found = []
    for properties in sorted(sysfs.glob("class/kfd/kfd/topology/nodes/*/properties")):
        version = re.search(r"^gfx_target_version (\d+)$", _read(properties), re.MULTILINE)
        if version and int(version[1]):  # 0 is the CPU's own node
            found.append(gfx_name(int(version[1])))
    return tuple(found)


def find_intel(sysfs: Path) -> bool:
    """Whether a separate Intel GPU (not only the one in the CPU, at PCI slot 2) is there. Linux only."""
    for vendor in sysfs.glob("class/drm/card*/device/vendor"):
        if _read(vendor).strip() == "0x8086" and not vendor.parent.resolve().name.endswith(":00:02.0"):
            return True
    return False


def _architecture(name: str) -> str:
    return {"amd64": "x86_64", "aarch64": "arm64"}.get(name.lower(), name)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # these files vanish and forbid as the kernel likes; nothing readable is nothing found


def _ask(command: list[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=20,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        return 127, ""
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, f"{command[0]} did not answer ({type(error).__name__})"
    return done.returncode, done.stdout.decode("utf-8", "replace")
