"""P-tuning (Liu et al. 2021): virtual tokens behind a network of three layers (peft/tuners/p_tuning)."""

from __future__ import annotations

from core.methods.prompt import Prompt
from core.models import ModelSpec
from core.recipe import Recipe


class PTuning(Prompt):
    name = "p_tuning"
    title = "P-tuning"
    help = "Prompt tuning whose tokens come out of a small network, which learns more evenly."
    order = 23

    def parameters(self, spec: ModelSpec, recipe: Recipe) -> int:
        return super().parameters(spec, recipe) + 3 * spec.hidden * (spec.hidden + 1)
