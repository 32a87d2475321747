"""Disk that a run takes from download to GGUF."""

from __future__ import annotations

from core.fit.workload import Workload
from core.models.spec import ModelSpec

# the largest file that the export step offers, and the usual one: bytes a parameter (F16, Q4_K_M)
_F16, _Q4 = 2.0, 4.9 / 8


def disk_bytes(spec: ModelSpec, workload: Workload, trainable: int, optimizer: int) -> int:
    """The base, the kept checkpoints and the next one, with the optimizer; the adapter; the export.

    The export merges into 16 bits, converts to an F16 GGUF and quantizes that (core.export).
    """
    base = spec.file_bytes or 2 * spec.parameters
    adapter = trainable * (workload.bits // 8 if workload.trains_everything else 4)
    checkpoints = (workload.keep_checkpoints + 1) * (adapter + optimizer)
    merged = 2 * spec.parameters
    return round(base + checkpoints + adapter + merged + (_F16 + _Q4) * spec.parameters)
