"""How many threads llama.cpp gets."""

from __future__ import annotations

import os

import psutil


def physical_cores() -> int:
    """Physical cores, at most as many as this process may run on. Hyper-threads slow llama.cpp down."""
    allowed = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))
