"""Host memory: beside a GPU, and of a training that runs on the CPU itself."""

from __future__ import annotations

from core.fit.phases import Moment, checkpoints_bytes
from core.fit.workload import Workload
from core.models.spec import ModelSpec

GIB = 1 << 30
MB = 1_000_000
# resident once the worker has imported everything: a CPU build of torch, and a CUDA build with its driver
_LIBRARIES = {"peft": 600 * MB, "unsloth": 700 * MB}
_LIBRARIES_CUDA = {"peft": 2 * GIB, "unsloth": 3 * GIB}
# glibc keeps what tensors of a few megabytes leave behind: peak above what torch's profiler counts, measured
# with the starter model at 256 to 1,024 tokens
_HEAP_HOLES = {"unsloth": 0.5, "peft": 0.7}
# copies of the weights, in float32, while they are read (and packed into 4 bits)
_WHILE_LOADING, _WHILE_PACKING = 1.5, 2.1
# transformers reads shard by shard; hubs cut them at about 5 GB
_SHARD = 5 * GIB


def libraries_bytes(backend: str) -> int:
    """What the worker's libraries take on a machine without a GPU."""
    return _LIBRARIES.get(backend, _LIBRARIES["peft"])


def heap_bytes(moment: Moment, backend: str) -> int:
    """What the C library's heap holds beside the tensors that come and go in a step."""
    return round(_HEAP_HOLES[backend] * moment.total)


def loading_bytes(spec: ModelSpec, workload: Workload) -> int:
    """The peak while the weights are read into the host's memory."""
    copies = _WHILE_LOADING if workload.quantization == "none" else _WHILE_PACKING
    return round(copies * spec.parameters * (workload.bits / 8 if workload.quantization == "none" else 4))


def host_bytes(spec: ModelSpec, workload: Workload, paged: int) -> int:
    """RAM beside a GPU: libraries, a shard while it is read, and what was moved off the card.

    Unsloth's checkpoints lie there (unsloth_zoo/gradient_checkpointing.py), paged optimizers when the card is
    full, an offloaded embedding always.
    """
    total = _LIBRARIES_CUDA.get(workload.backend, _LIBRARIES_CUDA["peft"])
    moved = paged
    if workload.checkpointing in ("unsloth", "hf_offload"):
        moved += checkpoints_bytes(spec, workload)
    if workload.offload_embedding and not spec.tied:
        moved += round(spec.embedding * workload.bits / 8)
    # the shard is gone before the first step
    return total + max(min(2 * spec.parameters, _SHARD), moved)
