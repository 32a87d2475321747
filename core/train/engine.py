"""Unsloth or plain Transformers + PEFT: decide, and say why. Both offer the same four functions, `Engine`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from core.base.errors import UserError
from core.methods.settle import cannot_express
from core.recipe import Recipe
from core.train.precision import Precision

if TYPE_CHECKING:
    import torch
    from transformers import Trainer

    from core.train.rows import Rows


@dataclass(frozen=True)
class Setup:
    """What an engine needs to know besides the recipe. `device` is `cpu`, `cuda`, `xpu` or `mps`."""

    recipe: Recipe
    model_folder: Path
    device: str
    precision: Precision


class Engine(Protocol):
    """The module of an engine: `core.train.unsloth_engine` or `core.train.peft_engine`."""

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


def import_unsloth() -> str | None:
    """Import Unsloth (about 10 s). None when that worked, otherwise the reason, as a clause."""
    from core.train import unsloth_engine

    return unsloth_engine.prepare()


def load_engine(name: str) -> Engine:
    return cast(Engine, importlib.import_module(f"core.train.{name}_engine"))
