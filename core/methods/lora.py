"""LoRA (Hu et al. 2021): a pair of thin matrices beside each frozen one."""

from __future__ import annotations

from typing import Any

from core.methods.method import Method
from core.models import ModelSpec, lora_parameters
from core.recipe import Recipe


class Lora(Method):
    name = "lora"
    title = "LoRA"
    help = "A small adapter beside the frozen model: the method to start with."
    order = 1
    fused_by_unsloth = True

    def config(self, recipe: Recipe) -> Any:
        from peft import LoraConfig

        return LoraConfig(
            r=recipe.rank,
            lora_alpha=recipe.alpha,
            lora_dropout=recipe.dropout,
            target_modules=recipe.target_modules,
            bias="none",
            task_type="CAUSAL_LM",
        )

    def parameters(self, spec: ModelSpec, recipe: Recipe) -> int:
        return lora_parameters(spec, recipe.rank, recipe.target_modules)

    def tensor_sizes(self, spec: ModelSpec, recipe: Recipe) -> list[tuple[int, int]]:
        return [
            (recipe.rank * side, linear.count)
            for linear in self.targets(spec, recipe)
            for side in (linear.inputs, linear.outputs)
        ]
