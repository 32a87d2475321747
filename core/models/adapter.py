"""How many parameters a LoRA adapter has, counted as PEFT 0.21 does it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from core.models.spec import Linear, ModelSpec

ALL_LINEAR = "all-linear"


def lora_parameters(
    spec: ModelSpec,
    rank: int,
    target_modules: str | Sequence[str] = ALL_LINEAR,
    rank_pattern: Mapping[str, int] | None = None,
) -> int:
    """Trainable parameters: rank × (inputs + outputs) of every targeted matrix (Hu et al. 2021, 4.1)."""
    chosen = targeted(spec, target_modules)
    if not rank_pattern:
        return sum(rank * (linear.inputs + linear.outputs) * linear.count for linear in chosen)
    return sum(_by_pattern(linear, rank, rank_pattern) for linear in chosen)


def targeted(spec: ModelSpec, target_modules: str | Sequence[str]) -> list[Linear]:
    """The linear layers that get an adapter."""
    names = [target_modules] if isinstance(target_modules, str) else list(target_modules)
    names = [part.strip() for name in names for part in name.split(",") if part.strip()]
    if not names or ALL_LINEAR in (name.lower() for name in names):
        return [linear for linear in spec.linears if not linear.fused]
    return [linear for linear in spec.linears if linear.name in names]


def _by_pattern(linear: Linear, rank: int, pattern: Mapping[str, int]) -> int:
    each = (linear.inputs + linear.outputs) * linear.count // len(linear.full_names)
    return sum(each * _rank_of(name, rank, pattern) for name in linear.full_names)


def _rank_of(name: str, rank: int, pattern: Mapping[str, int]) -> int:
    """PEFT's `get_pattern_key`: the first pattern that matches the end of the module's name."""
    for key, value in pattern.items():
        if re.match(rf"(.*\.)?({key})$", name):
            return value
    return rank
