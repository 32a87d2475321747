"""The cards in a machine's raw answers: a reader for each source, which gives cards, and sentences about what
keeps one back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from core.machine.cards import gpus_with_ids
from core.machine.hardware import NAMES_LAPTOPS, Gpu, amd_family

Answers = dict[str, Any]
Reading = Iterator[Gpu | str]

# SMBIOS specification, "System Enclosure or Chassis Types": portable, laptop, notebook, hand held,
# sub notebook, tablet, convertible, detachable
_PORTABLE = ("8", "9", "10", "11", "14", "30", "31", "32")
_LAPTOP_NAME = re.compile(r"\b(Laptop|Mobile|Max-Q(?! Workstation)|MX\d{3}|RTX 2050)\b", re.IGNORECASE)
_NVML_ADVICE = {
    "driver not loaded": "Load or reinstall the NVIDIA driver, then restart the machine.",
    "driver and library have different versions": "The driver was updated: restart the machine.",
    "no permission": "Give this user access to /dev/nvidia* (the group “video” on most systems).",
    "GPU is lost": "Restart the machine, and check the card's power cable.",
}
_NVML_USUAL = (
    "If it stays so, restart the machine; `nvidia-smi` in a terminal shows whether the driver is well."
)
_KFD_ADVICE = {
    "denied": "This user may not use the compute device /dev/kfd: run "
    "`sudo usermod -aG render,video $USER`, then log in again.",
    "missing": "The compute device /dev/kfd is missing: load the kernel's amdgpu with KFD, or install "
    "ROCm's.",
}
# Below this, memory of its own is only what the firmware set aside for a GPU inside a CPU
_CARVE_OUT = 4 << 30
# the GPU inside Intel's CPUs sits in this slot; it shares their memory and is far too slow
_INSIDE_CPU = "0000:00:02.0"
# Windows: less is a GPU inside the CPU, whatever it is called
_SMALLEST_ADAPTER = 3 << 30
_ADAPTER_IDS = re.compile(r"VEN_(\w{4})&DEV_(\w{4})(?:.*REV_(\w\w))?", re.IGNORECASE)
# WSL 1 has no kernel of its own: its release ends so, that of WSL 2 in -microsoft-standard-WSL2
_FIRST_WSL = "-microsoft"


def whole(value: Any, default: int = 0) -> int:
    """A whole number out of an int, `24560`, `0x744c` or whatever else: then `default`."""
    if isinstance(value, bool | int):
        return int(value)
    try:
        return int(str(value).strip(), 0)
    except ValueError:
        return default


def release_of(raw: Answers) -> str:
    return str(raw.get("system", {}).get("release", ""))


def is_wsl(raw: Answers) -> bool:
    """Linux inside Windows: its kernel's release says `microsoft`."""
    return "microsoft" in release_of(raw).lower()


def memory(raw: Answers) -> tuple[int, int]:
    """(RAM, free RAM) in bytes; a container's limit counts, it kills what goes beyond."""
    system, limits = raw.get("memory", {}), raw.get("cgroup", {})
    total, available = whole(system.get("total")), whole(system.get("available"))
    limit = whole(limits.get("memory.max"))  # “max” where there is none
    if not 0 < limit < total:
        return max(0, total), max(0, available)
    return limit, max(0, min(available, limit - whole(limits.get("memory.current"))))


def _error(value: Any) -> str:
    """The error that stands where an answer should, else an empty string."""
    return str(value["error"]) if isinstance(value, dict) and "error" in value else ""


def _slots(raw: Answers, vendor: str) -> dict[str, dict[str, Any]]:
    """A maker's cards by their slots, in order; `vendor` is its PCI id."""
    return {slot: card for slot, card in sorted(raw.get("pci", {}).items()) if card.get("vendor") == vendor}


def _slot_facts(raw: Answers, card: dict[str, Any]) -> dict[str, Any]:
    """What every card in a slot says."""
    screens = (card.get("connectors") or {}).values()
    driver = f"{card.get('driver') or 'none'} {release_of(raw)}".strip()
    return {"driver": driver, "display": "connected" in screens}


# ----- NVIDIA


def nvidia_gpus(raw: Answers) -> Reading:
    """The cards that NVML names, in the order of their slots: those that CUDA_VISIBLE_DEVICES leaves."""
    answers = raw.get("nvml") or {}
    if error := _error(answers):
        yield from _nvml_silence(raw, error)
    gpus: list[Gpu] = []
    for index, device in enumerate(answers.get("devices", [])):
        if error := _error(device):
            yield f"NVIDIA card {index} does not answer ({error}). {_NVML_ADVICE.get(error, _NVML_USUAL)}"
            continue
        parts = _mig_parts(device)
        if parts == [] and device.get("slices") == []:
            yield (
                f"NVIDIA card {index} is split by MIG, and has no parts yet: make them (`nvidia-smi mig`) "
                "or switch MIG off."
            )
            continue
        gpu = _nvidia_gpu(raw, index, device, parts)
        gpus.append(gpu)
        if parts is not None:
            share = "the first part," if parts else "only a part of the"
            yield f"{gpu.name} is split by MIG: a run gets {share} {gpu.total_gib:.1f} GB."
        elif gpu.total == 0:
            yield f"{gpu.name} does not say how much memory it has."
    visible = str(raw.get("environment", {}).get("CUDA_VISIBLE_DEVICES"))
    # names (GPU-…, MIG-…) are left to CUDA
    if re.fullmatch(r"\s*(-?\d+\s*(,\s*-?\d+\s*)*)?", visible):
        left = {int(part) for part in visible.split(",") if part.strip()}
        here, gpus = gpus, [gpu for gpu in gpus if gpu.index in left]
        if here and not gpus:
            yield f"CUDA_VISIBLE_DEVICES is “{visible}”, which hides every NVIDIA card. Unset it to use one."
    yield from gpus


def _nvidia_gpu(raw: Answers, index: int, device: dict[str, Any], parts: list[dict[str, Any]] | None) -> Gpu:
    name = _word(device.get("name")) or "NVIDIA GPU"
    pair = device.get("capability")
    capability = (whole(pair[0]), whole(pair[1])) if isinstance(pair, list) and len(pair) == 2 else None
    level = whole(raw["nvml"].get("cuda"))  # 12080 is 12.8
    own = parts[0] if parts else device.get("memory") or {}
    unified = _error(own) == "not supported"  # Jetson and GB10 have none of their own
    system = raw.get("memory", {})
    # an older card in a portable machine does not say that it is a laptop's
    unnamed = capability is None or capability < NAMES_LAPTOPS
    portable = str(raw.get("chassis", "")) in _PORTABLE or raw.get("battery") is True
    return Gpu(
        name=name,
        total=max(0, whole(system.get("total") if unified else own.get("total"))),
        free=whole(system.get("available") if unified else own.get("free")),
        capability=capability,
        driver=_word(raw["nvml"].get("driver")),
        cuda=f"{level // 1000}.{level % 1000 // 10}" if level > 0 else "",
        laptop=bool(_LAPTOP_NAME.search(name)) or (portable and unnamed),
        display=whole(device.get("display_active")) == 1,
        unified=unified,
        index=index,
        power=whole(device.get("power_limit_mw")) // 1000,
    )


def _mig_parts(device: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The memory of the parts that MIG has split a card into, CUDA shows a program the first; else None."""
    mig, parts = device.get("mig"), device.get("slices")
    if not (isinstance(mig, list) and mig and whole(mig[0]) == 1):
        return None
    return [part for part in parts if "total" in part] if isinstance(parts, list) else []


def _nvml_silence(raw: Answers, error: str) -> Iterator[str]:
    """A sentence about a driver that says nothing, where there is a card or a driver that should."""
    drivers = [str(card.get("driver") or "none") for card in _slots(raw, "0x10de").values()]
    if error != "library not found":
        yield f"The NVIDIA driver does not answer: {error}. {_NVML_ADVICE.get(error, _NVML_USUAL)}"
    elif drivers[:1] == ["nvidia"] and not is_wsl(raw):  # WSL has its own sentence
        yield (
            "NVIDIA's kernel driver is loaded, but its library libnvidia-ml is missing here. Install the "
            "driver's user programs (nvidia-utils), or start the container with `--gpus all`."
        )
    elif drivers and not is_wsl(raw):
        driver = drivers[0]
        yield f"An NVIDIA card is here, but its driver is not (in use: {driver}). Install NVIDIA's driver."


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


# ----- AMD


def amd_gpus(raw: Answers) -> Reading:
    """The cards in their slots' order; what keeps ROCm from them stands in each."""
    nodes = _compute_nodes(raw.get("kfd", {}))
    order = list(nodes)  # HIP counts the compute nodes, not the slots
    for number, (slot, card) in enumerate(_slots(raw, "0x1002").items()):
        place = _location(slot)
        index = order.index(place) if place in nodes else number
        yield _amd_gpu(raw, index, card, nodes.get(place, ""))


def _compute_nodes(kfd: dict[str, str]) -> dict[tuple[int, int], str]:
    """gfx name by (PCI domain, location) of every GPU that AMD's compute driver offers, in its order."""
    nodes = {}
    for _, properties in sorted(kfd.items(), key=lambda node: whole(node[0])):
        values = dict(re.findall(r"^(\w+) (\d+)$", str(properties), re.MULTILINE))
        version = whole(values.get("gfx_target_version"))  # 90010 is gfx90a; 0 is the CPU's own node
        if version > 0:
            gfx = f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"
            nodes[whole(values.get("domain")), whole(values.get("location_id"))] = gfx
    return nodes


def _location(slot: str) -> tuple[int, int]:
    """(domain, bus × 256 + device × 8 + function) of `0000:03:00.0`, as KFD counts."""
    parts = re.fullmatch(r"([0-9a-f]+):([0-9a-f]+):([0-9a-f]+)\.([0-7])", slot)
    if not parts:
        return -1, -1
    domain, bus, device, function = (int(part, 16) for part in parts.groups())
    return domain, bus << 8 | device << 3 | function


def _amd_gpu(raw: Answers, index: int, card: dict[str, Any], gfx: str) -> Gpu:
    device = whole(card.get("device"))
    same = gpus_with_ids("amd", device, whole(card.get("revision")))[0]
    total, used = whole(card.get("mem_info_vram_total")), whole(card.get("mem_info_vram_used"))
    shared = whole(card.get("mem_info_gtt_total"))
    unified = same.unified or (not same.name and 0 < total < _CARVE_OUT < total + shared)
    if unified and shared > total:
        # HIP allocates from one of the two: the firmware's share, or what the kernel lends of the RAM
        total, used = shared, whole(card.get("mem_info_gtt_used"))
    closed = _KFD_ADVICE.get(str(raw.get("kfd_access")), "")
    arch = amd_family(gfx) or same.arch
    return replace(
        same,
        name=same.name or str(card.get("product_name") or f"AMD {gfx or f'GPU {device:04x}'}"),
        total=total,
        free=max(0, total - used),
        arch=arch,
        **_slot_facts(raw, card),
        unified=unified,
        index=index,
        power=whole(card.get("power1_cap")) // 1_000_000,
        closed=closed if card.get("driver") == "amdgpu" else "Its driver is not amdgpu: install AMD's.",
    )


# ----- Intel


def intel_gpus(raw: Answers) -> Reading:
    """The separate Intel cards, and a sentence for each whose memory nobody tells."""
    slots = [card for slot, card in _slots(raw, "0x8086").items() if slot != _INSIDE_CPU]
    for index, card in enumerate(slots):
        device = whole(card.get("device"))
        same = gpus_with_ids("intel", device, whole(card.get("revision")))
        exact = _own_memory(card)
        total = exact or _likely_memory(card, [gpu.total for gpu in same])
        gpu = replace(
            same[0],
            name=same[0].name or f"Intel GPU {device:04x}",
            total=total,
            free=total,  # Intel's drivers tell the free memory to the administrator only
            **_slot_facts(raw, card),
            index=index,
        )
        yield gpu
        if not exact:
            assumed = f"; {gpu.total_gib:.0f} GB are assumed" if total else ""
            yield f"{gpu.name} does not say how much memory it has{assumed}."


def _own_memory(card: dict[str, Any]) -> int:
    """Bytes as the drivers tell them: xe by tile, Intel's own i915 as a whole; the kernel's i915 does not."""
    tiles = card.get("physical_vram_size_bytes")
    return sum(map(whole, tiles)) if isinstance(tiles, list) else whole(card.get("lmem_total_bytes"))


def _likely_memory(card: dict[str, Any], sizes: list[int]) -> int:
    """The largest size that cards with this id have and that the slot's window would show whole, else the
    smallest: windows are powers of two, and 256 MB where the firmware does not resize them."""
    ends = re.fullmatch(r"(0x[0-9a-f]+) (0x[0-9a-f]+) 0x[0-9a-f]+", str(card.get("bar2", "")))
    window = int(ends[2], 16) - int(ends[1], 16) + 1 if ends else 0
    return max((size for size in sizes if size <= window), default=sizes[0])


# ----- Apple, Windows, WSL


def apple_gpus(raw: Answers) -> Reading:
    """The GPU of Apple's chip, which shares the whole RAM."""
    answers = raw.get("sysctl", {})
    if answers.get("error"):
        yield f"The Mac could not be asked for its chip: {answers['error']}."
    chip = str(answers.get("machdep.cpu.brand_string", ""))
    if answers.get("error") or not chip.startswith("Apple"):
        return
    family = re.search(r"\bM\d+\b", chip)
    total = whole(answers.get("hw.memsize"))
    yield Gpu(
        name=chip,
        total=total,
        free=min(memory(raw)[1], total),
        capability=None,
        driver=f"Darwin {release_of(raw)}".strip(),
        vendor="apple",
        arch=family[0] if family else "",
        laptop="Book" in str(answers.get("hw.model", "")),
        display=True,
        unified=True,
    )


def windows_gpus(raw: Answers) -> Reading:
    """AMD's and Intel's cards in Windows' registry; NVIDIA's are asked through NVML."""
    index = 0
    for adapter in raw.get("adapters", []):
        ids = _ADAPTER_IDS.search(str(adapter.get("MatchingDeviceId", "")))
        maker = ids[1].lower() if ids else ""
        total = whole(adapter.get("HardwareInformation.qwMemorySize"))
        if ids and maker in ("1002", "8086") and total >= _SMALLEST_ADAPTER:
            yield _adapter_gpu(adapter, ids, total, index)
            index += 1
        if maker == "10de" and not raw.get("nvml"):
            name = adapter.get("DriverDesc", "an NVIDIA card")
            yield (
                f"Windows lists {name}, but NVIDIA's driver can't be asked. If the card is still in the "
                "machine, reinstall the driver."
            )


def _adapter_gpu(adapter: dict[str, Any], ids: re.Match[str], total: int, index: int) -> Gpu:
    vendor, device = "amd" if ids[1] == "1002" else "intel", int(ids[2], 16)
    same = gpus_with_ids(vendor, device, int(ids[3] or "0", 16))[0]
    return replace(
        same,
        name=str(adapter.get("DriverDesc") or same.name or f"{vendor} {device:04x}"),
        total=total,
        free=total,  # Windows tells the free memory per process only
        driver=str(adapter.get("DriverVersion", "")),
        display=True,
        unified=False,
        index=index,
    )


def wsl_problems(raw: Answers) -> Reading:
    """What keeps a GPU from being seen inside WSL; nothing where a card answers, or outside WSL."""
    if not is_wsl(raw) or raw.get("nvml", {}).get("devices"):
        return
    if release_of(raw).lower().endswith(_FIRST_WSL):
        yield "This is WSL 1, which has no GPU. In Windows, run `wsl --set-version DISTRIBUTION 2`."
    elif not raw.get("dxg"):
        yield "Windows offers no GPU to WSL (/dev/dxg is missing). In Windows, run `wsl --update`."
    elif _error(raw.get("nvml")) in ("", "library not found", "driver not loaded"):
        yield (
            "Windows offers a GPU to WSL, but no NVIDIA driver answers. For an NVIDIA card, install NVIDIA's "
            "driver in Windows (none inside WSL), then run `wsl --shutdown`. Other cards can't train here."
        )


# Who is asked, and the reader of the answers
READERS = {
    "the NVIDIA driver": nvidia_gpus,
    "AMD's driver": amd_gpus,
    "Intel's driver": intel_gpus,
    "macOS": apple_gpus,
    "Windows": windows_gpus,
    "WSL": wsl_problems,
}
