"""Unsloth and plain Transformers + PEFT: both offer the same three functions, `Engine`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from core.methods.settle import wants_unsloth
from core.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from transformers import Trainer

    from core.train.rows import Rows


@dataclass(frozen=True)
class Setup:
    """What an engine needs to know: a settled recipe, and the kind of device that trains it."""

    recipe: Recipe
    model_folder: Path
    device: str


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


def why_not_unsloth(recipe: Recipe) -> str:
    """Import Unsloth (about 10 s) if the recipe can use it. Why it can't be had, as a clause, else empty."""
    if not wants_unsloth(recipe):
        return ""
    from core.train import unsloth_engine

    return unsloth_engine.prepare() or ""


def load_engine(name: str) -> Engine:
    return cast(Engine, importlib.import_module(f"core.train.{name}_engine"))
