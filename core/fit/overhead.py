"""What a GPU takes beside tensors: the driver's context, and what the allocator holds but can't use."""

from __future__ import annotations

from core.fit.phases import Moment
from core.machine import Gpu

GIB = 1 << 30
# kernels and workspaces that the process loads, by family of the card: what nvidia-smi shows beyond torch's
# reserved memory in published runs; others guessed from the nearest
_CONTEXT = {"Turing": 0.4, "Volta": 0.4, "Ampere": 0.5, "Ada": 0.5, "Hopper": 0.7, "Blackwell": 0.7}
_OTHER_CONTEXT = {"nvidia": 0.5, "amd": 0.5, "intel": 0.4, "apple": 0.3}
# torch's allocator (c10/cuda/CUDACachingAllocator.cpp) rounds to 2 MiB and splits blocks. Fitted to published
# runs: a sixteenth of what moves with Unsloth's kernels, which work in place; with the plain engine an eighth
# has the smallest mean error and no bias (Transformers, Axolotl: python -m tests.benchmarks.vram)
_FIXED_FRAGMENTS = GIB // 4
_PART_OF_MOVING = {"unsloth": 16, "peft": 8}


def context_bytes(gpu: Gpu | None) -> int:
    """What the process takes on the card before the first tensor."""
    if gpu is None:
        return 0
    return round(_CONTEXT.get(gpu.arch, _OTHER_CONTEXT[gpu.vendor]) * GIB)


def fragmentation_bytes(moment: Moment, backend: str) -> int:
    """What the allocator holds beyond the tensors: a quarter GiB, and a part of what comes and goes."""
    return _FIXED_FRAGMENTS + moment.total // _PART_OF_MOVING[backend]
