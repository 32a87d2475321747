"""Host memory: beside a GPU, and of a training that runs on the CPU itself."""

from __future__ import annotations

from core.memory.kinds import Workload
from core.memory.phases import checkpoints_bytes
from core.models.spec import ModelSpec

GIB = 1 << 30
# the worker's libraries, with a CUDA build of torch
_LIBRARIES = {"peft": 2.0, "unsloth": 3.0}


def host_bytes(spec: ModelSpec, workload: Workload, paged: int) -> int:
    """RAM beside a GPU: libraries, the largest shard while it loads, and what was moved off the card."""
    shard = min(2 * spec.parameters, 5 * GIB)
    total = round(_LIBRARIES.get(workload.backend, 2.0) * GIB) + shard + paged
    if workload.checkpointing in ("unsloth", "hf_offload"):
        total += checkpoints_bytes(spec, workload)
    if workload.offload_embedding and not spec.tied:
        total += round(spec.embedding * workload.bits / 8)
    return total
