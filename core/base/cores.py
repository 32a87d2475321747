"""How much of the machine this process may use: processor cores, and a container's limits (cgroups 2 or 1).

Standard library only at its import: set-up looks at the machine before anything is installed.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from core.base.files import start_of

_FOLDER = "sys/fs/cgroup"
# cgroup 2's name of a limit: its file, and that of version 1
_LIMITS = {
    "memory.max": ("memory.max", "memory/memory.limit_in_bytes"),
    "memory.current": ("memory.current", "memory/memory.usage_in_bytes"),
}
_QUOTA = "cpu.max"
_OLD_QUOTA = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")


def ask_cgroup(root: Path) -> dict[str, str]:
    """Limit and use of memory by their cgroup 2 names, below `root` ("/" but for tests); no limit is `max`,
    or a number beyond all memory."""
    limits = {
        name: next(filter(None, (start_of(root / _FOLDER / file) for file in files)), "")
        for name, files in _LIMITS.items()
    }
    return {name: value for name, value in limits.items() if value}


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: those it may run on, less where a container's time is limited."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _share(root))))


def physical_cores() -> int:
    """Physical cores, at most as many as this process may run on. Hyper-threads slow llama.cpp down."""
    import psutil

    affinity = getattr(psutil.Process(), "cpu_affinity", None)
    allowed = len(affinity()) if affinity else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))


def idle_cores(measure_s: float = 0.3) -> int:
    """Physical cores that nobody uses now, at least one.

    llama.cpp's threads wait for each other after every layer: one that has to share its core with a
    training run holds up all the others, and two threads are then slower than one.
    """
    import psutil

    shares = psutil.cpu_percent(measure_s, percpu=True)
    idle = sum(100 - share for share in shares) / 100
    per_core = max(1.0, len(shares) / (psutil.cpu_count(logical=False) or len(shares)))
    return max(1, min(physical_cores(), round(idle / per_core)))


def _share(root: Path) -> float:
    """Processor time that may be used in a second, in seconds; without a limit infinite."""
    folder = root / _FOLDER
    words = start_of(folder / _QUOTA).split() or [start_of(folder / file) for file in _OLD_QUOTA]
    try:
        quota, period = map(int, words)
    except ValueError:
        return math.inf  # “max”, or no such file
    return quota / period if quota > 0 and period > 0 else math.inf
