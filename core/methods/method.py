"""What a training method is: one class in one file of this folder.

The Recipe, `train` and `fit` on the command line, the page and the README list the folder
(`method_entries`), so a new method touches no other file.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from core.methods.settle import Device
from core.models import ModelSpec, lora_targets
from core.models.spec import Linear
from core.recipe import MethodEntry, Recipe, method_entries


class Method(MethodEntry):
    """How one method trains, and what it costs."""

    abstract = True
    # all weights of the model are trained, and there is no adapter
    trains_everything = False
    # Unsloth computes it in kernels of its own
    fused_by_unsloth = False
    # each layer's update is made in full size, and kept for the backward pass
    keeps_whole_updates = False

    def config(self, recipe: Recipe) -> Any:
        """PEFT's configuration; None where all weights train."""
        raise NotImplementedError

    def parameters(self, spec: ModelSpec, recipe: Recipe) -> int:
        """How many parameters the optimizer moves."""
        raise NotImplementedError

    def targets(self, spec: ModelSpec, recipe: Recipe) -> list[Linear]:
        """The layers that get an adapter."""
        return [target.linear for target in lora_targets(spec, recipe.target_modules)]

    def tensor_sizes(self, spec: ModelSpec, recipe: Recipe) -> list[tuple[int, int]]:
        """(parameters, how many) of the trained tensors; nothing where nobody has counted them."""
        return []

    def kept_per_token(self, spec: ModelSpec, recipe: Recipe) -> float:
        """Numbers that one layer keeps of a token for the backward pass, beside the adapters' inputs."""
        return 0.0

    def tokens_before(self, recipe: Recipe) -> int:
        """Tokens of its own that it puts before every row."""
        return 0

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
        return f"{self.title} can be estimated, but not trained yet. Set method to one of: {others}."

    def describe(self, recipe: Recipe) -> str:
        """What is trained, for a line of text: `LoRA of rank 16 on all linear layers`."""
        return f"{recipe.method_title} of rank {recipe.rank} on {layer_words(recipe)}"


class VirtualTokens(BaseModel, extra="forbid"):
    """The knobs of prompts that are learned."""

    virtual_tokens: int = Field(20, ge=1, le=4096, description="How many tokens are learned.")


class SoftPrompt(Method):
    """Learns tokens that stand before every row, and touches no layer."""

    abstract = True
    knobs = VirtualTokens
    trains = False

    def virtual_tokens(self, recipe: Recipe) -> int:
        return VirtualTokens(**recipe.method_settings).virtual_tokens

    def targets(self, spec: ModelSpec, recipe: Recipe) -> list[Linear]:
        return []

    def tokens_before(self, recipe: Recipe) -> int:
        return self.virtual_tokens(recipe)

    def describe(self, recipe: Recipe) -> str:
        return f"{self.title} of {self.virtual_tokens(recipe)} tokens"


def methods() -> tuple[Method, ...]:
    """All methods, in their order."""
    return tuple(entry for entry in method_entries() if isinstance(entry, Method))


def method_of(recipe: Recipe) -> Method:
    """The method that a recipe trains with."""
    return next(method for method in methods() if method.name == recipe.method)


def layer_words(recipe: Recipe) -> str:
    """The layers with an adapter, in words."""
    targets = recipe.target_modules
    return (
        "all linear layers"
        if targets == "all-linear"
        else ", ".join([targets] if isinstance(targets, str) else targets)
    )


def passes_a_layer(spec: ModelSpec, linear: Linear) -> float:
    """How many of such matrices one token passes in one layer: of experts only those it is sent to."""
    a_layer = linear.count / spec.layers
    return a_layer * active_share(spec) if linear.kind == "expert" else a_layer


def active_share(spec: ModelSpec) -> float:
    """The part of the experts that one token is sent to."""
    experts = sum(linear.parameters for linear in spec.linears if linear.kind == "expert")
    return 1.0 - (spec.parameters - spec.active) / experts if experts else 1.0
