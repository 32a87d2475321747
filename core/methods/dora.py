"""DoRA (Liu et al. 2024): LoRA, and a length for each output."""

from __future__ import annotations

from core.methods.lora import Lora
from core.methods.method import passes_a_layer
from core.models import ModelSpec
from core.recipe import Recipe


class Dora(Lora):
    name = "dora"
    title = "DoRA"
    help = "LoRA that learns direction and length apart: a little better at low ranks, and slower."
    order = 11
    trains = False
    fused_by_unsloth = False

    def parameters(self, spec: ModelSpec, recipe: Recipe) -> int:
        lengths = sum(linear.outputs * linear.count for linear in self.targets(spec, recipe))
        return super().parameters(spec, recipe) + lengths

    def kept_per_token(self, spec: ModelSpec, recipe: Recipe) -> float:
        """The outputs that are scaled, and those of the pair of matrices."""
        return 2 * sum(passes_a_layer(spec, one) * one.outputs for one in self.targets(spec, recipe))
