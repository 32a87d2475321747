"""Unsloth or plain Transformers + PEFT: decide, and say why. Both offer the same four functions, `Engine`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from core.errors import UserError
from core.recipe import Recipe
from core.training.precision import Precision

if TYPE_CHECKING:
    import torch
    from transformers import Trainer

    from core.training.rows import Rows

# Unsloth moves these from the targets to modules_to_save (models/_utils.py, _redirect_embedding_targets)
_TRAINED_WHOLE = ("embed_tokens", "lm_head")


@dataclass(frozen=True)
class Setup:
    """What an engine needs to know besides the recipe. `device` is `cpu`, `cuda`, `xpu` or `mps`."""

    recipe: Recipe
    model_folder: Path
    device: str
    precision: Precision


class Engine(Protocol):
    """The module of an engine: `core.training.unsloth_engine` or `core.training.peft_engine`."""

    def load_model(self, setup: Setup) -> torch.nn.Module:
        """The base model with a fresh adapter on it, ready to train."""
        ...

    def make_trainer(
        self,
        setup: Setup,
        model: torch.nn.Module,
        rows: Rows,
        arguments: dict[str, Any],
        **rest: Any,
    ) -> Trainer:
        """A Trainer over tokenized rows. `arguments` go to its configuration, `rest` to the Trainer."""
        ...

    def summed_loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The cross-entropy of a batch, summed over its trained tokens."""
        ...


def choose_engine(recipe: Recipe, try_unsloth: Callable[[], str | None] | None = None) -> tuple[str, str]:
    """`("unsloth" | "peft", reason)`. `try_unsloth` imports it and returns None, or says why it can't be had.

    Raises a UserError when the recipe insists on Unsloth and it can't be used.
    """
    if recipe.engine == "peft":
        return "peft", "The recipe asks for Transformers + PEFT."
    problem = cannot_express(recipe) or (try_unsloth or import_unsloth)()
    if problem is None:
        return "unsloth", "Unsloth is installed and runs on this machine."
    if recipe.engine == "unsloth":
        raise UserError(f"The recipe asks for Unsloth, but {problem}. Set engine to “auto” or “peft”.")
    return "peft", f"Transformers + PEFT, because {problem}."


def cannot_express(recipe: Recipe) -> str | None:
    """What the recipe asks for and Unsloth does otherwise, as a clause."""
    if recipe.quantization == "nf4" and not recipe.double_quantization:
        return "Unsloth always quantizes the 4-bit constants too, which the recipe switches off"
    if recipe.attention != "auto":
        return f"Unsloth chooses its attention itself, and the recipe asks for {recipe.attention}"
    targets = recipe.target_modules
    names = [targets] if isinstance(targets, str) else targets
    whole = [name for name in names if name.rpartition(".")[2] in _TRAINED_WHOLE]
    if whole:
        return f"Unsloth trains {' and '.join(whole)} whole, and the recipe asks for an adapter on it"
    return None


def import_unsloth() -> str | None:
    """Import Unsloth (about 10 s). None when that worked, otherwise the reason, as a clause."""
    from core.training import unsloth_engine

    return unsloth_engine.prepare()


def load_engine(name: str) -> Engine:
    return cast(Engine, importlib.import_module(f"core.training.{name}_engine"))
