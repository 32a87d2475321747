"""Full fine-tuning: every weight of the language model is trained, and there is no adapter."""

from __future__ import annotations

from typing import Any

from core.methods.method import Method
from core.models import ModelSpec
from core.models.spec import Linear
from core.recipe import Recipe


class Full(Method):
    name = "full"
    title = "Full fine-tuning"
    help = "All weights: learns most, forgets most, and takes four to eight times the memory."
    order = 31
    trains = False
    trains_everything = True

    def config(self, recipe: Recipe) -> Any:
        return None

    def parameters(self, spec: ModelSpec, recipe: Recipe) -> int:
        return spec.parameters - spec.vision_parameters

    def targets(self, spec: ModelSpec, recipe: Recipe) -> list[Linear]:
        return []

    def forms(self) -> tuple[str, ...]:
        return ("merged",)

    def describe(self, recipe: Recipe) -> str:
        return "All weights"
