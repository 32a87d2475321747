"""LoKr (Yeh et al. 2024): a Kronecker product, its larger factor a pair of matrices (peft/tuners/lokr)."""

from __future__ import annotations

import math

from core.methods.method import Method
from core.models import ModelSpec
from core.recipe import Recipe


class LoKr(Method):
    name = "lokr"
    title = "LoKr"
    help = "A Kronecker product in place of LoRA's matrices: a very small adapter."
    order = 17
    trains = False
    keeps_whole_updates = True

    def parameters(self, spec: ModelSpec, recipe: Recipe) -> int:
        return sum(
            _kronecker(linear.inputs, linear.outputs, recipe.rank) * linear.count
            for linear in self.targets(spec, recipe)
        )


def _kronecker(inputs: int, outputs: int, rank: int) -> int:
    (out_small, out_large), (in_small, in_large) = _factors(outputs), _factors(inputs)
    whole = rank >= max(out_large, in_large) / 2
    return out_small * in_small + (out_large * in_large if whole else rank * (out_large + in_large))


def _factors(size: int) -> tuple[int, int]:
    """The two factors of a number that are nearest to each other, the smaller first."""
    small = next(factor for factor in range(math.isqrt(size), 0, -1) if size % factor == 0)
    return small, size // small
