"""AMD cards: slots, memory and compute nodes as Linux tells them; Windows' registry elsewhere."""

from __future__ import annotations

import re
from typing import Any

from core.machine.families import amd_family, gfx_name
from core.machine.kinds import Gpu
from core.machine.known import known_card
from core.machine.readings import display_of, whole

_VENDOR = "0x1002"
# Below this, memory of its own is only what the firmware set aside for a GPU inside a CPU
_CARVE_OUT = 4 << 30


def amd_gpus(raw: dict[str, Any]) -> tuple[list[Gpu], list[str]]:
    """The cards in their slots' order; what keeps ROCm from them stands in each."""
    slots = {
        slot: card for slot, card in sorted((raw.get("pci") or {}).items()) if card.get("vendor") == _VENDOR
    }
    nodes = compute_nodes(raw.get("kfd") or {})
    order = list(nodes)  # HIP counts the compute nodes, not the slots
    gpus = [
        _gpu(raw, order.index(place) if place in nodes else number, card, nodes.get(place, ""))
        for number, (place, card) in enumerate((_location(slot), card) for slot, card in slots.items())
    ]
    return gpus, []


def compute_nodes(kfd: dict[str, str]) -> dict[tuple[int, int], str]:
    """gfx name by (PCI domain, location) of every GPU that AMD's compute driver offers, in its order."""
    found = {}
    for _, properties in sorted(kfd.items(), key=lambda node: whole(node[0])):
        values = dict(re.findall(r"^(\w+) (\d+)$", str(properties), re.MULTILINE))
        gfx = gfx_name(whole(values.get("gfx_target_version")))  # 0 is the CPU's own node
        if gfx:
            found[whole(values.get("domain")), whole(values.get("location_id"))] = gfx
    return found


def _location(slot: str) -> tuple[int, int]:
    """(domain, bus × 256 + device × 8 + function) of `0000:03:00.0`, as KFD counts."""
    found = re.fullmatch(r"([0-9a-f]+):([0-9a-f]+):([0-9a-f]+)\.([0-7])", slot)
    if not found:
        return -1, -1
    domain, bus, device, function = (int(part, 16) for part in found.groups())
    return domain, bus << 8 | device << 3 | function


def _gpu(raw: dict[str, Any], number: int, card: dict[str, Any], gfx: str) -> Gpu:
    device, revision = whole(card.get("device")), whole(card.get("revision"))
    known = known_card("amd", device, revision)
    arch = amd_family(gfx) or known.arch
    total, used = whole(card.get("mem_info_vram_total")), whole(card.get("mem_info_vram_used"))
    shared = whole(card.get("mem_info_gtt_total"))
    unified = known.unified or (not known.name and 0 < total < _CARVE_OUT < total + shared)
    if unified and shared > total:
        # HIP allocates from one of the two: the firmware's share, or what the kernel lends of the RAM
        total, used = shared, whole(card.get("mem_info_gtt_used"))
    return Gpu(
        name=known.name or str(card.get("product_name") or f"AMD {gfx or f'GPU {device:04x}'}"),
        total=total,
        free=max(0, total - used),
        capability=None,
        driver=_driver(raw, card),
        vendor="amd",
        arch=arch,
        laptop=known.laptop,
        display=display_of(card),
        unified=unified,
        index=number,
        power=whole(card.get("power1_cap")) // 1_000_000,
        closed=_closed(raw, card),
    )


def _driver(raw: dict[str, Any], card: dict[str, Any]) -> str:
    release = str((raw.get("system") or {}).get("release", ""))
    return f"{card.get('driver') or 'none'} {release}".strip()


def _closed(raw: dict[str, Any], card: dict[str, Any]) -> str:
    """Why ROCm can't get at the card, and what to do."""
    if card.get("driver") != "amdgpu":
        return "Its driver is not amdgpu: install AMD's."
    return {
        "denied": "This user may not use the compute device /dev/kfd: run "
        "`sudo usermod -aG render,video $USER`, then log in again.",
        "missing": "The compute device /dev/kfd is missing: load the kernel's amdgpu with KFD, or install "
        "ROCm's.",
    }.get(str(raw.get("kfd_access")), "")
