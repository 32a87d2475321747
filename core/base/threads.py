"""How many threads llama.cpp gets."""

from __future__ import annotations

import os

import psutil


def physical_cores() -> int:
    """Physical cores, at most as many as this process may run on. Hyper-threads slow llama.cpp down."""
    affinity = getattr(psutil.Process(), "cpu_affinity", None)
    allowed = len(affinity()) if affinity else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))


def idle_cores(measure_s: float = 0.3) -> int:
    """Physical cores that nobody uses now, at least one.

    llama.cpp's threads wait for each other after every layer: one that has to share its core with a
    training run holds up all the others, and two threads are then slower than one.
    """
    shares = psutil.cpu_percent(measure_s, percpu=True)
    idle = sum(100 - share for share in shares) / 100
    per_core = max(1.0, len(shares) / (psutil.cpu_count(logical=False) or len(shares)))
    return max(1, min(physical_cores(), round(idle / per_core)))
