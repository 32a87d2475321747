"""IA3 (Liu et al. 2022): one vector a layer, on the way down's input, on the output of keys and values."""

from __future__ import annotations

from core.methods.method import Method, layer_words, passes_a_layer
from core.models import ModelSpec, lora_targets
from core.models.spec import Linear
from core.recipe import Recipe

# PEFT's default (utils/constants.py)
_TARGETS = ("k_proj", "v_proj", "down_proj", "qkv_proj", "query_key_value", "dense_4h_to_h", "fc2")


class IA3(Method):
    name = "ia3"
    title = "IA3"
    help = "Scales keys, values and one activation: the fewest parameters, for small changes."
    order = 18
    trains = False

    def targets(self, spec: ModelSpec, recipe: Recipe) -> list[Linear]:
        names = _TARGETS if recipe.target_modules == "all-linear" else recipe.target_modules
        return [target.linear for target in lora_targets(spec, names)]

    def parameters(self, spec: ModelSpec, recipe: Recipe) -> int:
        return sum(
            (linear.inputs if linear.kind in ("mlp", "expert") else linear.outputs) * linear.count
            for linear in self.targets(spec, recipe)
        )

    def kept_per_token(self, spec: ModelSpec, recipe: Recipe) -> float:
        """The outputs that are scaled."""
        return sum(passes_a_layer(spec, one) * one.outputs for one in self.targets(spec, recipe))

    def describe(self, recipe: Recipe) -> str:
        where = (
            "keys, values and the way down" if recipe.target_modules == "all-linear" else layer_words(recipe)
        )
        return f"{self.title} on {where}"
