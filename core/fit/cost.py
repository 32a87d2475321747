"""What one trained token costs: the operations of its passes, and the weights that must be moved for it."""

from __future__ import annotations

from core.fit.workload import Workload
from core.machine import Gpu
from core.models.spec import ModelSpec

# operations of one pass through a weight, for one token: a multiplication and an addition
_A_PASS = 2
# bytes moved for one weight in one pass; packed ones are read, written in 16 bits, and read again
_MOVED = {"nf4": 0.5 + 2 + 2, "int8": 1 + 2 + 2}
# operations that a card does in the time it moves a byte: RTX 4090 about 80 TFLOP/s of training over
# 1,008 GB/s; other cards are within a factor of two of it
_OPERATIONS_A_BYTE = 80
# 4-bit weights on a CPU: 70 tokens a second and core without, 29 with (SmolLM2 135M, LoRA, measured)
_UNPACKING_ON_A_CPU = 70 / 29


def operations_per_token(spec: ModelSpec, workload: Workload, gpu: Gpu | None) -> float:
    """Floating-point operations a token, or as many as could be done in the time.

    The frozen weights take a forward pass and a backward pass to their inputs, with checkpointing one more
    forward pass; the adapter also one to its weights. (2 operations a weight, a token and a pass: Kaplan et
    al., arXiv 2001.08361, section 2.1.)
    """
    passes = 2 if workload.checkpointing == "none" else 3
    pass_of_weights = _A_PASS * spec.active + _attention(spec, workload)
    adapter = 3 * _A_PASS * _adapter(spec, workload)
    if gpu is None:
        slower = _UNPACKING_ON_A_CPU if workload.quantization == "nf4" else 1.0
        return passes * pass_of_weights * slower + adapter
    return passes * (pass_of_weights + _moving(spec, workload)) + adapter


def _attention(spec: ModelSpec, workload: Workload) -> float:
    """Scores and their sums over half of the row (causal), both products: operations a token and pass."""
    return 2 * _A_PASS * spec.layers * spec.heads * spec.head_dim * workload.length / 2


def _adapter(spec: ModelSpec, workload: Workload) -> int:
    """About how many weights the adapter has: rank × (inputs + outputs) of every linear layer it is on."""
    everywhere = workload.target_modules == ("all-linear",)
    on = [
        linear
        for linear in spec.linears
        if not linear.fused and (everywhere or linear.name in workload.target_modules)
    ]
    return workload.rank * sum((linear.inputs + linear.outputs) * linear.count for linear in on)


def _moving(spec: ModelSpec, workload: Workload) -> float:
    """Operations a card could do while it moves the weights of one pass, shared by the tokens at once."""
    bytes_a_weight = _MOVED.get(workload.quantization, workload.bits / 8)
    return spec.parameters * bytes_a_weight * _OPERATIONS_A_BYTE / max(workload.tokens, 1)
