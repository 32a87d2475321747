"""Intel's separate GPUs (Arc): what their Linux drivers i915 and xe tell."""

from __future__ import annotations

import re
from typing import Any

from core.hardware.kinds import Gpu
from core.hardware.known import known_name
from core.hardware.readings import display_of, whole

_VENDOR = "0x8086"
# the GPU inside Intel's CPUs sits in this slot; it shares their memory and is far too slow
_INSIDE_CPU = "0000:00:02.0"
_SMALLEST = 2 << 30


def intel_gpus(raw: dict[str, Any]) -> tuple[list[Gpu], list[str]]:
    """The separate Intel cards, and a sentence for each whose memory nobody tells."""
    slots = {
        slot: card
        for slot, card in sorted((raw.get("pci") or {}).items())
        if card.get("vendor") == _VENDOR and slot != _INSIDE_CPU
    }
    gpus, problems = [], []
    for number, card in enumerate(slots.values()):
        device = whole(card.get("device"))
        known = known_name("intel", device, whole(card.get("revision")))
        release = (raw.get("system") or {}).get("release", "")
        total = memory_of(card)
        name = known.name or f"Intel GPU {device:04x}"
        if not total:
            total = known.total
            problems.append(f"{name} does not say how much memory it has; {total >> 30} GB are assumed.")
        gpus.append(
            Gpu(
                name=name,
                total=total,
                free=total,  # Intel's drivers tell the free memory to the administrator only
                capability=None,
                driver=f"{card.get('driver') or 'none'} {release}".strip(),
                vendor="intel",
                arch=known.arch,
                laptop=known.laptop,
                display=display_of(card),
                index=number,
                power=known.power,
            )
        )
    return gpus, problems


def memory_of(card: dict[str, Any]) -> int:
    """Bytes: xe tells them by tile, i915 as a whole; else the card's window into memory, if it is resized."""
    tiles = card.get("physical_vram_size_bytes")
    if isinstance(tiles, list):
        return sum(whole(tile) for tile in tiles)
    if "lmem_total_bytes" in card:
        return whole(card["lmem_total_bytes"])
    window = re.fullmatch(r"(0x[0-9a-f]+) (0x[0-9a-f]+) 0x[0-9a-f]+", str(card.get("bar2", "")))
    size = int(window[2], 16) - int(window[1], 16) + 1 if window else 0
    return size if size >= _SMALLEST else 0
