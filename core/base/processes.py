"""Tells a process from a later one that was given its id, also when somebody sets the clock in between."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil

# where it can only be said in fractions of a second
_SAME_S = 0.05


def birth(pid: int) -> float | None:
    """When the process began, in seconds that never change while it lives; None where it is gone.

    On Linux since the system's start: psutil adds the wall-clock time of that start, which moves whenever the
    clock is set (proc(5), field 22 of /proc/PID/stat; psutil 7.2, `Process.create_time`).
    """
    try:
        if sys.platform != "linux":
            return psutil.Process(pid).create_time()
        # the second field is the program's name in brackets, and may hold anything
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (psutil.Error, OSError):
        return None


def lives(pid: int, born: float | None) -> bool:
    """Whether the process `pid` that began at `born` still runs; None stands for any time."""
    now = birth(pid)
    if now is None or (born is not None and abs(now - born) > _SAME_S):
        return False
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
