"""The frozen base model in memory: its layers as they are quantized, and what stays in 16 or 32 bits."""

from __future__ import annotations

from core.fit.workload import Workload
from core.models.spec import Linear, ModelSpec

# NF4 (Dettmers et al. 2023, QLoRA, section 3): 4 bits a weight and one constant for 64 of them, kept as
# float32, or quantized again to 8 bits with one float32 for 256 of those
NF4 = 0.5 + 4 / 64
NF4_DOUBLE = 0.5 + 1 / 64 + 4 / (64 * 256)
# LLM.int8() (Dettmers et al. 2022): a byte a weight; its float32 for each row is below a thousandth
INT8 = 1.0
# besides heads and towers Unsloth leaves these in 16 bits (unsloth_zoo/peft_utils.py,
# SKIP_QUANTIZATION_MODULES)
_LEFT_WHOLE = frozenset({"mamba", "router"})
# stored formats that a 4-bit load takes as they are
_QUANTIZED_FILES = ("nf4", "mixed")


def bytes_a_weight(workload: Workload) -> float:
    """Bytes of one weight of a linear layer."""
    if workload.quantization == "nf4":
        return NF4_DOUBLE if workload.double_quantization else NF4
    return INT8 if workload.quantization == "int8" else workload.weight_bits / 8


def linear_bytes(spec: ModelSpec, workload: Workload) -> int:
    """The linear layers of the blocks, frozen, and of towers that are quantized too.

    A repository that is quantized already (also Unsloth's dynamic ones, which leave some layers in 16 bits)
    takes what its files hold.
    """
    if spec.file_bytes and _stored_as_trained(spec, workload):
        return max(0, spec.file_bytes - rest_bytes(spec, workload, stored=True))
    whole, packed = workload.weight_bits / 8, bytes_a_weight(workload)
    blocks = sum(
        linear.parameters * (packed if quantizable(linear, workload) else whole) for linear in spec.linears
    )
    return round(blocks + packed * _packed_towers(spec, workload))


def quantizable(linear: Linear, workload: Workload) -> bool:
    """Whether it gets quantized: experts in one parameter are no nn.Linear, but Unsloth takes them apart."""
    if workload.backend == "unsloth":
        return _LEFT_WHOLE.isdisjoint(linear.path.split("."))
    return not linear.fused


def _stored_as_trained(spec: ModelSpec, workload: Workload) -> bool:
    return workload.quantization == "nf4" and bool(spec.file_bytes) and spec.stored in _QUANTIZED_FILES


def _packed_towers(spec: ModelSpec, workload: Workload) -> int:
    """Parameters of the parts that look and listen that are quantized while they are read.

    Transformers leaves out nothing but the head; Unsloth leaves these parts whole.
    """
    whole = workload.quantization == "none" or workload.backend == "unsloth"
    return 0 if whole or _stored_as_trained(spec, workload) else sum(part.parameters for part in spec.vision)


def rest_bytes(spec: ModelSpec, workload: Workload, stored: bool = False) -> int:
    """Embedding, output head unless it is the embedding, norms, biases: never quantized by bitsandbytes.

    With Unsloth also what looks and listens.

    `offload_embedding` keeps the input embedding in the host's memory (Unsloth's `offload_embedding`), where
    it isn't the output head too.
    """
    count = spec.other_parameters - _packed_towers(spec, workload)
    if workload.offload_embedding and not spec.tied and not stored:
        count -= spec.embedding
    return round(count * workload.weight_bits / 8)


def dequantization_bytes(spec: ModelSpec, workload: Workload) -> int:
    """The largest quantized matrix in 16 bits, with its constants in float32.

    bitsandbytes makes it for each product of the backward pass (autograd/_functions.py, MatMul4Bit.backward);
    Unsloth keeps one such buffer (kernels/utils.py, fast_dequantize, WEIGHT_BUFFER and ABSMAX_BUFFER).
    """
    if workload.quantization == "none":
        return 0
    sizes = [linear.inputs * linear.outputs for linear in spec.linears if quantizable(linear, workload)]
    constants = 4 / 64 if workload.quantization == "nf4" else 0
    return round(max(sizes, default=0) * (workload.bits / 8 + constants))
