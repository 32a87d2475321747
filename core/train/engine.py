"""What the engines share: their face, number formats, the Trainer's settings, a step computed in parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch

from core.recipe import Recipe
from core.train.batches import split_batch, token_budget
from core.train.checkpoints import CheckpointStore
from core.train.rows import IGNORED, Rows

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Engine(Protocol):
    """The module of an engine: `core.train.peft` or `core.train.unsloth`. Recipes are settled ones."""

    def load_model(self, recipe: Recipe, folder: Path, device: str) -> torch.nn.Module:
        """The base model in `folder` with a fresh adapter on it, ready to train."""
        ...

    def make_trainer(
        self,
        recipe: Recipe,
        folder: Path,
        model: torch.nn.Module,
        rows: Rows,
        arguments: dict[str, Any],
        **rest: Any,
    ) -> Any:
        """A Trainer over tokenized rows. `arguments` go to its configuration, `rest` to the Trainer."""
        ...

    def summed_loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The cross-entropy of a batch, summed over its trained tokens."""
        ...


class SharedTrainer:
    """Mixin for transformers' Trainer and its heirs: computes a step in parts, saves through the store.

    A step's rows arrive as one batch. Its loss is divided by all its trained tokens, so how the rows are
    shared out to parts changes memory and speed, not the gradient.
    """

    store: CheckpointStore
    recipe: Recipe
    state: Any

    def training_step(
        self, model: Any, inputs: dict[str, torch.Tensor], num_items_in_batch: Any = None
    ) -> Any:
        step = super().training_step  # type: ignore[misc]
        trained = (inputs["labels"][:, 1:] != IGNORED).sum()
        parts = split_batch(inputs, token_budget(self.recipe), self.recipe.group_by_length)
        return sum(step(model, part, trained) for part in parts)

    def _save_checkpoint(self, model: Any, trial: Any = None) -> None:
        save = super()._save_checkpoint  # type: ignore[misc]
        self.store.write(self.state.global_step, lambda: save(model, trial))


def trainer_arguments(recipe: Recipe, device: str, folder: Path) -> dict[str, Any]:
    """A settled recipe as arguments that TrainingArguments and SFTConfig take. Everything is explicit."""
    return {
        "output_dir": str(folder),
        # a whole step; SharedTrainer computes it in parts
        "per_device_train_batch_size": recipe.effective_batch,
        "gradient_accumulation_steps": 1,
        "num_train_epochs": recipe.epochs,
        "max_steps": recipe.max_steps or -1,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.scheduler
        if recipe.warmup == 0 or recipe.scheduler != "constant"
        else "constant_with_warmup",
        # below 1 it is a share of the steps
        "warmup_steps": recipe.warmup,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        # torch has no fused Adam for Apple's GPUs
        "optim": "adamw_torch_fused"
        if recipe.optimizer == "adamw_torch" and device != "mps"
        else recipe.optimizer,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "bf16": recipe.precision == "bf16",
        "fp16": recipe.precision == "fp16",
        "use_cpu": device == "cpu",
        # SFTConfig switches it on by default, even where the model was told not to
        "gradient_checkpointing": recipe.checkpointing != "none",
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if recipe.checkpointing != "none" else None,
        "train_sampling_strategy": "random",
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": device == "cuda",
        "remove_unused_columns": False,
        "logging_steps": 1,
        # otherwise a NaN loss is logged as 0.0
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "non_padding",
        # the Reporter decides when to measure and save
        "eval_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
