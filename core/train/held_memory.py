"""How much memory the training holds, now and at the most: the GPU's, else this process's own."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import psutil
import torch

from core.fit.terms import context_bytes
from core.machine import find_hardware


def memory_used() -> int:
    """Bytes held now, as the driver shows them for a GPU, otherwise this process's resident memory."""
    card = _card()
    if card is not None:
        return int(card.memory_reserved()) + _context()
    if torch.backends.mps.is_available():
        return int(torch.mps.driver_allocated_memory())
    return int(psutil.Process().memory_info().rss)


def peak_memory() -> int:
    """Bytes at the highest point so far, as the driver shows them; else this process's resident memory."""
    card = _card()
    if card is not None:
        return int(card.max_memory_reserved()) + _context()
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # kilobytes on Linux, bytes on macOS
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


def _card() -> Any:
    """torch's module for the GPU that trains, where its allocator can be asked; None without such a GPU."""
    return next((card for card in (torch.cuda, torch.xpu) if card.is_available()), None)


@cache
def _context() -> int:
    """What the driver takes for this process: torch does not see it, so the estimate's number stands in."""
    return context_bytes(find_hardware().training_gpu)
