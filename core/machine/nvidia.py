"""NVIDIA cards, read from what NVML answered; what it refused becomes a sentence."""

from __future__ import annotations

import re
from typing import Any

from core.machine.kinds import Gpu
from core.machine.readings import error_of, is_portable, is_wsl, whole

_VENDOR = "0x10de"
_WHAT_TO_DO = {
    "driver not loaded": "Load or reinstall the NVIDIA driver, then restart the machine.",
    "driver and library have different versions": "The driver was updated: restart the machine.",
    "no permission": "Give this user access to /dev/nvidia* (the group “video” on most systems).",
    "GPU is lost": "Restart the machine, and check the card's power cable.",
}
# From Ampere's GeForce cards on, a laptop's card says so in its name (but the 2050, which no desktop has);
# before, it carries the desktop's name
NAMES_ITSELF = (8, 6)
_LAPTOP_NAME = re.compile(r"\b(Laptop|Mobile|Max-Q(?! Workstation)|MX\d{3}|RTX 2050)\b", re.IGNORECASE)


def nvidia_gpus(raw: dict[str, Any]) -> tuple[list[Gpu], list[str]]:
    """The cards that NVML names, in the order of their slots, and problems."""
    answers = raw.get("nvml")
    if not answers:
        return [], []
    if error := error_of(answers):
        return [], _silence(raw, error)
    driver, cuda = _word(answers.get("driver")), cuda_level(answers.get("cuda"))
    gpus: list[Gpu] = []
    problems: list[str] = []
    for index, device in enumerate(answers.get("devices", [])):
        if error := error_of(device):
            problems.append(f"NVIDIA card {index} does not answer ({error}). {_advice(error)}")
            continue
        if _split(device) and device.get("slices") == []:
            problems.append(
                f"NVIDIA card {index} is split by MIG, and has no parts yet: make them (`nvidia-smi mig`) "
                "or switch MIG off."
            )
            continue
        gpus.append(_gpu(raw, index, device, driver, cuda))
        problems += _device_problems(gpus[-1], device)
    return _visible(gpus, raw, problems)


def cuda_level(number: Any) -> str:
    """`12.8` of NVML's 12080; empty where it said nothing."""
    level = whole(number)
    return f"{level // 1000}.{level % 1000 // 10}" if level > 0 else ""


def _gpu(raw: dict[str, Any], index: int, device: dict[str, Any], driver: str, cuda: str) -> Gpu:
    name = _word(device.get("name")) or "NVIDIA GPU"
    pair = device.get("capability")
    capability = (whole(pair[0]), whole(pair[1])) if isinstance(pair, list) and len(pair) == 2 else None
    memory = _parts(device)[0] if _parts(device) else device.get("memory") or {}
    unified = error_of(memory) == "not supported"  # Jetson and GB10 have none of their own
    system = raw.get("memory") or {}
    return Gpu(
        name=name,
        total=max(0, whole(system.get("total") if unified else memory.get("total"))),
        free=whole(system.get("available") if unified else memory.get("free")),
        capability=capability,
        driver=driver,
        cuda=cuda,
        laptop=_laptop(name, capability, raw),
        display=whole(device.get("display_active")) == 1,
        unified=unified,
        index=index,
        power=whole(device.get("power_limit_mw")) // 1000,
    )


def _laptop(name: str, capability: tuple[int, int] | None, raw: dict[str, Any]) -> bool:
    if _LAPTOP_NAME.search(name):
        return True
    return is_portable(raw) and (capability is None or capability < NAMES_ITSELF)


def _device_problems(gpu: Gpu, device: dict[str, Any]) -> list[str]:
    if _split(device):
        got = "the first part," if _parts(device) else "only a part of the"
        return [f"{gpu.name} is split by MIG: a run gets {got} {gpu.total_gib:.1f} GB."]
    if gpu.total == 0:
        return [f"{gpu.name} does not say how much memory it has."]
    return []


def _split(device: dict[str, Any]) -> bool:
    """Whether MIG is on."""
    mig = device.get("mig")
    return isinstance(mig, list) and bool(mig) and whole(mig[0]) == 1


def _parts(device: dict[str, Any]) -> list[dict[str, Any]]:
    """The memory of a split card's parts; CUDA shows a program the first."""
    parts = device.get("slices") if _split(device) else None
    return [part for part in parts if "total" in part] if isinstance(parts, list) else []


def _visible(gpus: list[Gpu], raw: dict[str, Any], problems: list[str]) -> tuple[list[Gpu], list[str]]:
    """Only the cards that CUDA_VISIBLE_DEVICES leaves; names in it (GPU-…, MIG-…) are left to CUDA."""
    wanted = (raw.get("environment") or {}).get("CUDA_VISIBLE_DEVICES")
    if wanted is None or not re.fullmatch(r"\s*(-?\d+\s*(,\s*-?\d+\s*)*)?", str(wanted)):
        return gpus, problems
    numbers = {int(part) for part in str(wanted).split(",") if part.strip()}
    left = [gpu for gpu in gpus if gpu.index in numbers]
    if gpus and not left:
        problems = [
            *problems,
            f"CUDA_VISIBLE_DEVICES is “{wanted}”, which hides every NVIDIA card. Unset it to use one.",
        ]
    return left, problems


def _silence(raw: dict[str, Any], error: str) -> list[str]:
    """A sentence about a driver that says nothing, where there is a card or a driver that should."""
    cards = [card for card in (raw.get("pci") or {}).values() if card.get("vendor") == _VENDOR]
    if is_wsl(raw) and error == "library not found":
        return []  # said as WSL's problem
    if error == "library not found":
        return [_without_library(str(cards[0].get("driver") or "none"))] if cards else []
    return [f"The NVIDIA driver does not answer: {error}. {_advice(error)}".strip()]


def _without_library(driver: str) -> str:
    if driver == "nvidia":
        return (
            "NVIDIA's kernel driver is loaded, but its library libnvidia-ml is missing here. Install the "
            "driver's user programs (nvidia-utils), or start the container with `--gpus all`."
        )
    return f"An NVIDIA card is here, but its driver is not (in use: {driver}). Install NVIDIA's driver."


def _advice(error: str) -> str:
    if error in _WHAT_TO_DO:
        return _WHAT_TO_DO[error]
    return "If it stays so, restart the machine; `nvidia-smi` in a terminal shows whether the driver is well."


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""
