"""What a training method is: one class in one file of this folder.

The Recipe, `train` and `fit` on the command line, the page and the README list the folder
(`core.base.registry`), so a new method touches no other file.
"""

from __future__ import annotations

from typing import Any

from core.base.registry import registered
from core.methods.settle import Device
from core.models import ModelSpec, lora_parameters, lora_targets
from core.models.spec import Linear
from core.recipe import MethodEntry, Recipe

__all__ = ["Method", "method_named", "method_of", "methods"]


class Method(MethodEntry):
    """How one method trains, and what it costs. Without changes it is an adapter of pairs of matrices."""

    abstract = True
    # adds tokens before each row, and touches no layer
    soft_prompt = False
    # all weights of the model are trained, and there is no adapter
    trains_everything = False

    def config(self, recipe: Recipe) -> Any:
        """PEFT's configuration; None where all weights train."""
        raise NotImplementedError

    def parameters(self, spec: ModelSpec, recipe: Recipe) -> int:
        """How many parameters the optimizer moves."""
        return lora_parameters(spec, recipe.rank, recipe.target_modules)

    def targets(self, spec: ModelSpec, recipe: Recipe) -> list[Linear]:
        """The layers that get an adapter."""
        return [target.linear for target in lora_targets(spec, recipe.target_modules)]

    def tensor_sizes(self, spec: ModelSpec, recipe: Recipe) -> list[tuple[int, int]]:
        """(parameters, how many) of the adapter's tensors; nothing where they are no pairs of matrices."""
        return [
            (recipe.rank * side, linear.count)
            for linear in self.targets(spec, recipe)
            for side in (linear.inputs, linear.outputs)
        ]

    def scaled_outputs(self) -> int:
        """How many copies of its layers' outputs are kept for the backward pass, beside the inputs."""
        return 0

    def whole_updates(self) -> bool:
        """Whether each layer's update is made in full size, and kept."""
        return False

    def hooks(self, trainer: Any) -> None:
        """What changes in the Trainer: a schedule of ranks, groups of parameters, an optimizer."""

    def forms(self) -> tuple[str, ...]:
        """What it can be exported to: `merged`, `lora-gguf`, `adapter`."""
        return ("merged", "lora-gguf", "adapter")

    def refuses(self, recipe: Recipe, device: Device) -> str:
        """Why it can't be trained there, with the remedy; empty where it can."""
        if self.trains:
            return ""
        others = ", ".join(method.name for method in methods() if method.trains)
        return f"{self.title} can be estimated, but not trained yet: take {others}."


def methods() -> tuple[Method, ...]:
    """All methods, those that can be trained first."""
    return registered("core.methods", Method)


def method_named(name: str) -> Method:
    return next(method for method in methods() if method.name == name)


def method_of(recipe: Recipe) -> Method:
    """The method that a recipe trains with."""
    return method_named(recipe.method)
