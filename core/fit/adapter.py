"""What is trained: how many parameters each method adds, and their weights, gradients and optimizer state."""

from __future__ import annotations

import math
from collections.abc import Callable

from core.base.errors import UserError
from core.fit.workload import Workload
from core.models.adapter import lora_parameters, lora_targets
from core.models.spec import Linear, ModelSpec

_FLOAT32 = 4
# bytes of optimizer state a trained float32 parameter. 8-bit: two bytes and two float32 for 256 parameters
# (Dettmers et al. 2022, 8-bit Optimizers via Block-wise Quantization; bitsandbytes/optim/adamw.py)
_EIGHT_BIT = 2 + 2 * _FLOAT32 / 256
_STATES = {
    "adamw": 8.0,
    "adamw_torch": 8.0,
    "adamw_hf": 8.0,
    "adamw_torch_fused": 8.0,
    "adamw_32bit": 8.0,
    "adamw_8bit": _EIGHT_BIT,
    "adamw_bnb_8bit": _EIGHT_BIT,
    "adamw_torch_8bit": _EIGHT_BIT,
    "adamw8bit": _EIGHT_BIT,
    "ademamix_8bit": 3 + 3 * _FLOAT32 / 256,
    "lion": 4.0,
    "lion_32bit": 4.0,
    "lion_8bit": _EIGHT_BIT / 2,
    "rmsprop": 4.0,
    "sgd": 0.0,
}
# Adafactor (Shazeer and Stern 2018) keeps a row and a column of each matrix
_FACTORED = "adafactor"
# bitsandbytes keeps smaller tensors in 32 bits, and pages only larger ones (optim/optimizer.py)
_SMALL_TENSOR, _PAGED_TENSOR = 4096, 100_000
# PEFT's default: IA3 scales keys, values and the way down (utils/constants.py)
_IA3_TARGETS = ("k_proj", "v_proj", "down_proj", "qkv_proj", "query_key_value", "dense_4h_to_h", "fc2")


def known_optimizers() -> tuple[str, ...]:
    """Names that the estimate knows, those of the Recipe among them."""
    return (*_STATES, _FACTORED, *(f"paged_{name}" for name in _STATES if "bit" in name))


def trainable_parameters(spec: ModelSpec, workload: Workload) -> int:
    """Parameters that the optimizer moves."""
    kind = workload.kind
    if kind not in _COUNTS:
        raise UserError(
            f"The memory of the method “{workload.method}” is not known; use qlora, {', '.join(_COUNTS)}."
        )
    return _COUNTS[kind](spec, workload)


def _lora(spec: ModelSpec, workload: Workload) -> int:
    return lora_parameters(spec, workload.rank, workload.target_modules, workload.rank_pattern)


def _dora(spec: ModelSpec, workload: Workload) -> int:
    """LoRA and a length for each output (Liu et al. 2024)."""
    lengths = sum(linear.outputs * linear.count for linear in targets(spec, workload))
    return _lora(spec, workload) + lengths


def _adalora(spec: ModelSpec, workload: Workload) -> int:
    """LoRA and a singular value for each rank (Zhang et al. 2023), from 1.5 times the rank down to it."""
    start = round(1.5 * workload.rank)
    matrices = sum(linear.count for linear in targets(spec, workload))
    return lora_parameters(spec, start, workload.target_modules) + start * matrices


def _loha(spec: ModelSpec, workload: Workload) -> int:
    """Two pairs of matrices, multiplied with each other (Hyeon-Woo et al. 2022)."""
    return 2 * _lora(spec, workload)


def _lokr(spec: ModelSpec, workload: Workload) -> int:
    """A Kronecker product, its larger factor a pair of matrices (Yeh et al. 2024; peft/tuners/lokr)."""
    return sum(_kronecker(linear, workload.rank) * linear.count for linear in targets(spec, workload))


def _kronecker(linear: Linear, rank: int) -> int:
    (out_small, out_large), (in_small, in_large) = _factors(linear.outputs), _factors(linear.inputs)
    whole = rank >= max(out_large, in_large) / 2
    return out_small * in_small + (out_large * in_large if whole else rank * (out_large + in_large))


def _factors(size: int) -> tuple[int, int]:
    """The two factors of a number that are nearest to each other, the smaller first."""
    small = next(factor for factor in range(math.isqrt(size), 0, -1) if size % factor == 0)
    return small, size // small


def _ia3(spec: ModelSpec, workload: Workload) -> int:
    """One vector a layer (Liu et al. 2022): on the way down's input, on the output of keys and values."""
    return sum(
        (linear.inputs if linear.kind in ("mlp", "expert") else linear.outputs) * linear.count
        for linear in targets(spec, workload)
    )


def _prefix(spec: ModelSpec, workload: Workload) -> int:
    """Keys and values of virtual tokens in every layer (Li and Liang 2021)."""
    return workload.virtual_tokens * spec.layers * 2 * spec.kv_heads * spec.head_dim


def _prompt(spec: ModelSpec, workload: Workload) -> int:
    """Embeddings of virtual tokens (Lester et al. 2021)."""
    return workload.virtual_tokens * spec.hidden


def _p_tuning(spec: ModelSpec, workload: Workload) -> int:
    """Virtual tokens behind a network of three layers (Liu et al. 2021; peft/tuners/p_tuning/model.py)."""
    return _prompt(spec, workload) + 3 * spec.hidden * (spec.hidden + 1)


def _everything(spec: ModelSpec, workload: Workload) -> int:
    return spec.parameters - spec.vision_parameters


_COUNTS: dict[str, Callable[[ModelSpec, Workload], int]] = {
    "lora": _lora,
    "dora": _dora,
    "adalora": _adalora,
    "loha": _loha,
    "lokr": _lokr,
    "ia3": _ia3,
    "prefix": _prefix,
    "prompt": _prompt,
    "p_tuning": _p_tuning,
    "full": _everything,
}
# these touch no layer: they add tokens
SOFT_PROMPTS = ("prefix", "prompt", "p_tuning")


def targets(spec: ModelSpec, workload: Workload) -> list[Linear]:
    """The layers that get an adapter."""
    if workload.kind in SOFT_PROMPTS or workload.trains_everything:
        return []
    names: tuple[str, ...] = workload.target_modules
    if workload.kind == "ia3" and "all-linear" in names:
        names = _IA3_TARGETS
    return [target.linear for target in lora_targets(spec, names)]


def parameter_bytes(workload: Workload) -> float:
    """Bytes of a trained parameter: an adapter's own format, or the whole model's."""
    return (workload.bits if workload.trains_everything else workload.adapter_bits) / 8


def optimizer_bytes(spec: ModelSpec, workload: Workload, trainable: int) -> tuple[int, int]:
    """The optimizer's state in bytes: on the card, and (paged) in the host's memory.

    Adam of PyTorch keeps its two states in the parameter's own format. Paged states give way to whatever
    else needs the card (bitsandbytes, functional.get_paged), so they are counted where they can go.
    """
    name = workload.optimizer.removeprefix("paged_")
    if name == _FACTORED:
        return _factored(spec, workload, trainable), 0
    state = _STATES.get(name, _STATES["adamw"])
    if "bit" not in name:
        state *= parameter_bytes(workload) / _FLOAT32
    kept = _kept_in_32_bits(spec, workload) if "8bit" in name else 0
    total = round(trainable * state + kept * (_FLOAT32 * round(state) - state))
    if name == workload.optimizer:
        return total, 0
    paged = _paged_share(spec, workload)
    return round(total * (1 - paged)), round(total * paged)


def _factored(spec: ModelSpec, workload: Workload, trainable: int) -> int:
    """Adafactor's row and column of each matrix; of a vector it keeps everything."""
    if workload.trains_everything:
        return _FLOAT32 * 2 * trainable // spec.hidden
    sizes = _tensor_sizes(spec, workload)
    if not sizes:
        return _FLOAT32 * trainable
    return sum(_FLOAT32 * (workload.rank + size // workload.rank) * count for size, count in sizes)


def _kept_in_32_bits(spec: ModelSpec, workload: Workload) -> int:
    """Parameters whose states an 8-bit optimizer keeps in float32: those of small tensors.

    In full training the embedding's: the Trainer asks for that (transformers/trainer.py, create_optimizer).
    """
    if workload.trains_everything:
        return spec.embedding
    return sum(size * count for size, count in _tensor_sizes(spec, workload) if size < _SMALL_TENSOR)


def _paged_share(spec: ModelSpec, workload: Workload) -> float:
    sizes = _tensor_sizes(spec, workload)
    total = sum(size * count for size, count in sizes)
    if not total:
        return 1.0
    return sum(size * count for size, count in sizes if size >= _PAGED_TENSOR) / total


def _tensor_sizes(spec: ModelSpec, workload: Workload) -> list[tuple[int, int]]:
    """(parameters, how many) of an adapter's tensors; nothing where they are not pairs of matrices."""
    if workload.kind not in ("lora", "dora", "adalora", "loha"):
        return []
    rank = workload.rank
    return [
        (rank * side, linear.count)
        for linear in targets(spec, workload)
        for side in (linear.inputs, linear.outputs)
    ]
