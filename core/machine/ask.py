"""The raw answers of this machine, as one JSON object: what Hardware is read from, here or from a recording.

`python -m core.machine` prints them. `LORA_GARAGE_PROBE=FILE.json` puts a recording in their place.
A recording may lack any of its parts; they then say nothing. Standard library only: set-up asks, too.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from core.base.cores import ask_cgroup, usable_cores
from core.base.errors import UserError, disk_free
from core.base.files import start_of
from core.machine.nvml import library_names

if sys.platform == "win32":
    import ctypes
    import winreg

RECORDING = "LORA_GARAGE_PROBE"
_ENVIRONMENT = ("CUDA_VISIBLE_DEVICES",)
_TOOL_PATIENCE_S = 5
# Without persistence mode NVIDIA's driver wakes the cards at each first question: seconds on servers
PATIENCE_S = 4.0
_GLANCE_S = 0.05
_REST_S = 60.0

# /proc/cpuinfo: one CPU's block; the whole file is long on servers, and slow: the kernel asks every core
_TEXT_BYTES = 8192
# 0x03 is a display; AMD's compute-only cards say "processing accelerator"
_GPU_CLASSES = ("0x03", "0x12")
_GPU_MAKERS = ("0x10de", "0x1002", "0x8086")
_CARD_FILES = (
    *("class", "vendor", "device", "revision", "subsystem_vendor", "subsystem_device", "product_name"),
    *("mem_info_vram_total", "mem_info_vram_used", "mem_info_gtt_total", "mem_info_gtt_used"),
)

# Instruction sets that matter for training and chat: Apple's names and people's
APPLE_FLAGS = {
    "hw.optional.neon": "neon",
    "hw.optional.arm.FEAT_DotProd": "dotprod",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_SME": "sme",
}
_SYSCTL = ("machdep.cpu.brand_string", "hw.model", "hw.memsize", *APPLE_FLAGS)

# Display adapters' class in the registry
_ADAPTERS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
_MOST_ADAPTERS = 32
_ADAPTER_VALUES = ("DriverDesc", "MatchingDeviceId", "DriverVersion", "HardwareInformation.qwMemorySize")
_CPU = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
# winnt.h, PF_… numbers of IsProcessorFeaturePresent
_FEATURES = {"avx": 39, "avx2": 40, "avx512": 41, "neon": 19, "dotprod": 43}
_NO_BATTERY, _UNKNOWN = 128, 255


class NvmlQuestion:
    """Asks NVML through a child that may crash or hang without harm, one at a time. A question that is not
    answered in time stays open: the next call looks whether its answer has come. A child that hangs inside
    the driver can't be ended; it goes when the driver answers."""

    def __init__(self, *arguments: str) -> None:
        script = Path(__file__).with_name("nvml.py")
        self.command = [sys.executable, "-I", "-S", str(script), *arguments]
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self._crash: dict[str, Any] = {}

    def ask(self, patience: float = PATIENCE_S) -> dict[str, Any]:
        """What NVML answers, or `{"error": …}` when it crashed or does not answer in `patience` seconds."""
        with self._lock:
            if self._crash and time.monotonic() - self._began < _REST_S:
                return self._crash
            try:
                child, patience = self._open(patience)
                said, _ = child.communicate(timeout=patience)
            except subprocess.TimeoutExpired:
                return {"error": f"no answer for {time.monotonic() - self._began:.0f} s"}
            except OSError as error:
                return {"error": f"asking it failed ({error})"}
            self._child, self._crash = None, {}
            if child.returncode != 0:
                self._crash = {"error": f"asking it crashed (exit code {child.returncode})"}
                return self._crash
            return json.loads(said)

    def _open(self, patience: float) -> tuple[subprocess.Popen[bytes], float]:
        """The child, and how long to wait for it: an open question is only glanced at."""
        if self._child is not None:
            return self._child, _GLANCE_S
        self._began, quiet = time.monotonic(), subprocess.DEVNULL
        flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        self._child = subprocess.Popen(
            self.command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, creationflags=flags
        )
        return self._child, patience


ask_nvml = NvmlQuestion().ask


def take_probe(
    folder: Path | None = None, site_packages: Path | None = None, patience: float = PATIENCE_S
) -> dict[str, Any]:
    """The recording that the environment names, else what this machine answers now (see `ask_machine`)."""
    recording = os.environ.get(RECORDING)
    return read_probe(Path(recording)) if recording else ask_machine(folder, site_packages, patience)


def read_probe(path: Path) -> dict[str, Any]:
    """A recorded machine. A UserError says what is wrong with the file."""
    try:
        recorded = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"The recorded machine {path} can't be read ({error.strerror}).") from error
    except ValueError as error:
        raise UserError(f"The recorded machine {path} is not JSON ({error}).") from error
    if not isinstance(recorded, dict):
        raise UserError(f"The recorded machine {path} must hold one JSON object.")
    return recorded


def ask_machine(
    folder: Path | None = None, site_packages: Path | None = None, patience: float = PATIENCE_S
) -> dict[str, Any]:
    """Ask the system, the CPU, the drivers and the disk of `folder`. What does not answer says so.

    NVIDIA's driver has `patience` seconds; with 0 it stays asleep. torch is looked for in `site_packages`,
    else where this Python imports from.
    """
    ask_system = {"win32": _ask_windows, "darwin": _ask_macos}.get(sys.platform, ask_linux)
    raw: dict[str, Any] = {
        "system": {name: getattr(platform, name)() for name in ("system", "release", "version", "machine")},
        "environment": {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        "cores": usable_cores(),
        "disk_free": _disk_free(folder or Path.home()),
        "torch": _ask_torch(site_packages),
        **ask_system(),
    }
    if patience and nvidia_expected(raw):
        raw["nvml"] = ask_nvml(patience)
    return raw


def nvidia_expected(raw: dict[str, Any]) -> bool:
    """Whether asking NVML can find anything: a card in a slot, a loaded driver, WSL, Windows' library."""
    if sys.platform == "win32":
        return any(Path(name).is_file() for name in library_names())
    cards = raw.get("pci", {}).values()
    return any(card.get("vendor") == "0x10de" for card in cards) or any(
        Path(name).exists() for name in ("/dev/nvidiactl", "/dev/dxg", "/proc/driver/nvidia/version")
    )


def _disk_free(folder: Path) -> int | None:
    """Free bytes where `folder` is, or will be; None, said as a problem when it is read, if not told."""
    try:
        return disk_free(folder)
    except (OSError, StopIteration):
        return None


def _ask_torch(folder: Path | None) -> dict[str, Any] | None:
    """Version and text of torch/version.py, not imported; None without torch."""
    # by the name of its folder: importlib.metadata takes longer to load than all else that is asked here
    folders = [folder] if folder else [Path(place) for place in sys.path if place]
    info = next((info for place in folders for info in place.glob("torch-*.dist-info")), None)
    if info is None:
        return None
    try:
        text = (info.parent / "torch" / "version.py").read_text("utf-8")
    except OSError:
        text = ""  # the version alone says the build too, in its local part
    return {"version": info.name.removeprefix("torch-").removesuffix(".dist-info"), "version_py": text}


def ask_linux(root: Path = Path("/")) -> dict[str, Any]:
    """What the kernel says in /sys and /proc below `root` ("/" but for tests)."""
    nodes = sorted((root / "sys/class/kfd/kfd/topology/nodes").glob("*/properties"))
    kfd = root / "dev/kfd"
    access = "ok" if os.access(kfd, os.R_OK | os.W_OK) else "denied"
    return {
        "memory": _linux_memory(start_of(root / "proc/meminfo", _TEXT_BYTES)),
        "cpuinfo": start_of(root / "proc/cpuinfo", _TEXT_BYTES),
        "model": start_of(root / "proc/device-tree/model"),
        "chassis": start_of(root / "sys/class/dmi/id/chassis_type"),
        "cgroup": ask_cgroup(root),
        "dxg": (root / "dev/dxg").exists(),
        "pci": _pci_cards(root / "sys/bus/pci/devices"),
        # the properties of every node of AMD's compute driver
        "kfd": {path.parent.name: start_of(path, _TEXT_BYTES) for path in nodes},
        "kfd_access": access if kfd.exists() else "missing",
    }


def _linux_memory(meminfo: str) -> dict[str, int]:
    """Bytes of RAM in all, and those that a program could get without swapping."""
    kib = {name: int(number) for name, number in re.findall(r"^(\w+):\s+(\d+) kB$", meminfo, re.MULTILINE)}
    lines = {"total": "MemTotal", "available": "MemAvailable"}
    return {name: kib[line] * 1024 for name, line in lines.items() if line in kib}


def _pci_cards(devices: Path) -> dict[str, dict[str, Any]]:
    """Every GPU by its slot (0000:03:00.0)."""
    return {
        folder.name: _pci_card(folder)
        for folder in sorted(devices.glob("*"))
        if start_of(folder / "class").startswith(_GPU_CLASSES) and start_of(folder / "vendor") in _GPU_MAKERS
    }


def _pci_card(folder: Path) -> dict[str, Any]:
    """A card's own files, its driver, watts and screens; Intel's memory by tile (xe) or as a whole (i915)."""
    answers: dict[str, Any] = {name: text for name in _CARD_FILES if (text := start_of(folder / name))}
    driver = folder / "driver"
    answers["driver"] = driver.resolve().name if driver.exists() else ""
    tiles = sorted(folder.glob("tile*/physical_vram_size_bytes"))
    if tiles:
        answers["physical_vram_size_bytes"] = [start_of(tile) for tile in tiles]
    for pattern in ("drm/card*/lmem_total_bytes", "hwmon/hwmon*/power1_cap"):
        answers.update((path.name, start_of(path)) for path in sorted(folder.glob(pattern)))
    windows = start_of(folder / "resource", _TEXT_BYTES).splitlines()
    if len(windows) > 2:
        answers["bar2"] = windows[2]
    screens = sorted(folder.glob("drm/card*/card*-*/status"))
    answers["connectors"] = {status.parent.name: start_of(status) for status in screens}
    return answers


def _ask_macos() -> dict[str, Any]:
    sysctl = parse_sysctl(_output("/usr/sbin/sysctl", *_SYSCTL))
    pages = _output("/usr/bin/vm_stat")
    memory = {"total": int(sysctl.get("hw.memsize", 0)), "available": parse_vm_stat(pages)}
    return {"sysctl": sysctl or {"error": "sysctl did not answer"}, "memory": memory}


def _output(*command: str) -> str:
    """What a tool of the system prints; nothing where it does not answer."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TOOL_PATIENCE_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")


def parse_sysctl(text: str) -> dict[str, str]:
    """The lines of sysctl's output that have the form `name: value`."""
    pairs = (line.partition(": ") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def parse_vm_stat(text: str) -> int:
    """Bytes that a program could get: the pages that are free, or held only as long as nobody wants them."""
    size = re.search(r"page size of (\d+) bytes", text)
    pages = re.findall(r"^Pages (?:free|inactive|speculative):\s+(\d+)\.", text, re.MULTILINE)
    return int(size[1]) * sum(map(int, pages)) if size else 0


def _ask_windows() -> dict[str, Any]:
    """Memory, CPU, battery, and the display cards in the registry; what Windows refuses is left out."""
    if sys.platform != "win32":
        return {}
    kernel = ctypes.windll.kernel32
    memory = (ctypes.c_ulonglong * 8)(64)  # MEMORYSTATUSEX; it begins with its own size
    kernel.GlobalMemoryStatusEx(memory)
    power = (ctypes.c_ubyte * 12)()  # SYSTEM_POWER_STATUS; its second byte is BatteryFlag
    battery = bool(kernel.GetSystemPowerStatus(power)) and power[1] not in (_NO_BATTERY, _UNKNOWN)
    adapters = (_registry(rf"{_ADAPTERS}\{number:04d}", _ADAPTER_VALUES) for number in range(_MOST_ADAPTERS))
    return {
        "memory": {"total": memory[1], "available": memory[2]},
        "processor": _registry(_CPU, ("ProcessorNameString",)).get("ProcessorNameString", ""),
        "processor_features": {
            name: bool(kernel.IsProcessorFeaturePresent(number)) for name, number in _FEATURES.items()
        },
        "battery": battery,
        "adapters": [values for values in adapters if values],
    }


def _registry(key: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Those of the values of a key below HKEY_LOCAL_MACHINE that are there."""
    values: dict[str, Any] = {}
    if sys.platform != "win32":
        return values
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
            for name in names:
                try:
                    value = winreg.QueryValueEx(opened, name)[0]
                except FileNotFoundError:
                    continue
                values[name] = int.from_bytes(value, "little") if isinstance(value, bytes) else value
    except OSError:
        return {}  # the key of an adapter that is not there, or not ours to read
    return values
