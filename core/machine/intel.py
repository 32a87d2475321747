"""Intel's separate GPUs (Arc): what their Linux drivers i915 and xe tell."""

from __future__ import annotations

import re
from typing import Any

from core.machine.kinds import Gpu
from core.machine.known import UNKNOWN, Card, known_cards
from core.machine.readings import display_of, whole

_VENDOR = "0x8086"
# the GPU inside Intel's CPUs sits in this slot; it shares their memory and is far too slow
_INSIDE_CPU = "0000:00:02.0"


def intel_gpus(raw: dict[str, Any]) -> tuple[list[Gpu], list[str]]:
    """The separate Intel cards, and a sentence for each whose memory nobody tells."""
    slots = {
        slot: card
        for slot, card in sorted((raw.get("pci") or {}).items())
        if card.get("vendor") == _VENDOR and slot != _INSIDE_CPU
    }
    gpus = [_gpu(raw, number, card) for number, card in enumerate(slots.values())]
    silent = [gpu for gpu, card in zip(gpus, slots.values()) if not told_memory(card)]
    return gpus, [_silence(gpu) for gpu in silent]


def _silence(gpu: Gpu) -> str:
    assumed = f"; {gpu.total_gib:.0f} GB are assumed" if gpu.total else ""
    return f"{gpu.name} does not say how much memory it has{assumed}."


def _gpu(raw: dict[str, Any], number: int, card: dict[str, Any]) -> Gpu:
    device = whole(card.get("device"))
    same = known_cards("intel", device, whole(card.get("revision")))
    known = same[0] if same else UNKNOWN
    total = told_memory(card) or likely_memory(card, same)
    release = (raw.get("system") or {}).get("release", "")
    return Gpu(
        name=known.name or f"Intel GPU {device:04x}",
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


def told_memory(card: dict[str, Any]) -> int:
    """Bytes as the drivers tell them: xe by tile, Intel's own i915 as a whole; the kernel's i915 does not."""
    tiles = card.get("physical_vram_size_bytes")
    if isinstance(tiles, list):
        return sum(whole(tile) for tile in tiles)
    return whole(card.get("lmem_total_bytes"))


def likely_memory(card: dict[str, Any], same: tuple[Card, ...]) -> int:
    """The largest size that cards with this id have and that the slot's window would show whole, else the
    smallest: windows are powers of two, and 256 MB where the firmware does not resize them."""
    found = re.fullmatch(r"(0x[0-9a-f]+) (0x[0-9a-f]+) 0x[0-9a-f]+", str(card.get("bar2", "")))
    window = int(found[2], 16) - int(found[1], 16) + 1 if found else 0
    shown = [known.total for known in same if known.total <= window]
    return max(shown, default=same[0].total if same else 0)
