"""LoHa (Hyeon-Woo et al. 2022): two pairs of matrices, multiplied with each other."""

from __future__ import annotations

from core.methods.lora import Lora
from core.models import ModelSpec
from core.recipe import Recipe


class LoHa(Lora):
    name = "loha"
    title = "LoHa"
    help = (
        "Two low-rank updates multiplied: a higher rank for as many parameters; much memory while it trains."
    )
    order = 16
    trains = False
    fused_by_unsloth = False
    keeps_whole_updates = True

    def parameters(self, spec: ModelSpec, recipe: Recipe) -> int:
        return 2 * super().parameters(spec, recipe)
