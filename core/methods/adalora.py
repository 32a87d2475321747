"""AdaLoRA (Zhang et al. 2023): LoRA whose rank moves to where it helps, down from 1.5 times of it."""

from __future__ import annotations

from core.methods.lora import Lora
from core.models import ModelSpec, lora_parameters
from core.recipe import Recipe


class AdaLora(Lora):
    name = "adalora"
    title = "AdaLoRA"
    help = "LoRA that spends its rank on the layers where it helps most."
    order = 15
    trains = False
    fused_by_unsloth = False

    def parameters(self, spec: ModelSpec, recipe: Recipe) -> int:
        """LoRA at the highest rank, and a singular value for each rank."""
        start = round(1.5 * recipe.rank)
        matrices = sum(linear.count for linear in self.targets(spec, recipe))
        return lora_parameters(spec, start, recipe.target_modules) + start * matrices
