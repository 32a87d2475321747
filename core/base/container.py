"""What a container may use of the machine: memory, and processor time, as cgroups (version 2 or 1) say."""

from __future__ import annotations

import math
import os
from pathlib import Path

_FOLDER = "sys/fs/cgroup"
_VALUE_BYTES = 256
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
    said = {
        name: next(filter(None, (_value(root, file) for file in files)), "")
        for name, files in _LIMITS.items()
    }
    return {name: value for name, value in said.items() if value}


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: those it may run on, less where a container's time is limited."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _share(root))))


def _share(root: Path) -> float:
    """Processor time that may be used in a second, in seconds; without a limit infinite."""
    told = _value(root, _QUOTA).split() or [_value(root, file) for file in _OLD_QUOTA]
    try:
        quota, period = map(int, told)
    except ValueError:
        return math.inf  # “max”, or no such file
    return quota / period if quota > 0 and period > 0 else math.inf


def _value(root: Path, file: str) -> str:
    """What stands in a file of cgroups; empty where there is none, or it can't be read."""
    try:
        with open(root / _FOLDER / file, "rb") as opened:
            return opened.read(_VALUE_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return ""
