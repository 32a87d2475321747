"""What both engines share: rows, batches, and the Trainer's settings as they follow from a Recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.recipe import Recipe
from core.training.checkpoints import CheckpointStore
from core.training.losses import IGNORED

# each row: input_ids and labels, as the preview shows them
Rows = list[dict[str, list[int]]]


@dataclass(frozen=True)
class Collator:
    """Makes a batch of rows by padding on the right to the longest. A single row passes unchanged."""

    pad_id: int

    def __call__(self, rows: Rows) -> dict[str, torch.Tensor]:
        """input_ids, labels and attention_mask, each (rows, longest) int64."""
        longest = max(len(row["input_ids"]) for row in rows)

        def padded(key: str, fill: int) -> torch.Tensor:
            return torch.tensor([list(row[key]) + [fill] * (longest - len(row[key])) for row in rows])

        mask = torch.tensor(
            [[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows]
        )
        return {
            "input_ids": padded("input_ids", self.pad_id),
            "labels": padded("labels", IGNORED),
            "attention_mask": mask,
        }


def count_steps(recipe: Recipe, rows: int) -> int:
    """Optimizer steps of the whole run, as the Trainer counts them."""
    if recipe.max_steps is not None:
        return recipe.max_steps
    batches = math.ceil(rows / recipe.micro_batch)
    return math.ceil(recipe.epochs * math.ceil(batches / recipe.accumulate))


def pick_optimizer(recipe: Recipe, device: str) -> tuple[str, str | None]:
    """The Trainer's name for the optimizer, and a sentence if it isn't the one the recipe names."""
    if recipe.optimizer == "adamw_torch":
        return ("adamw_torch" if device == "mps" else "adamw_torch_fused"), None
    if device != "cuda":
        return pick_optimizer(recipe.with_changes(optimizer="adamw_torch"), device)[0], (
            f"The optimizer {recipe.optimizer} needs a CUDA GPU; adamw_torch is used instead."
        )
    return recipe.optimizer, None


def trainer_arguments(recipe: Recipe, device: str, precision: str, folder: Path) -> dict[str, Any]:
    """Keyword arguments that TrainingArguments and SFTConfig both take. Everything is said explicitly."""
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": recipe.micro_batch,
        "gradient_accumulation_steps": recipe.accumulate,
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
        "optim": pick_optimizer(recipe, device)[0],
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "use_cpu": device == "cpu",
        # SFTConfig switches it on by default, even where the model was told not to
        "gradient_checkpointing": recipe.checkpointing != "none",
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if recipe.checkpointing != "none" else None,
        # one row a batch has no padding to save
        "train_sampling_strategy": "group_by_length"
        if recipe.group_by_length and recipe.micro_batch > 1
        else "random",
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


class SafeSaves:
    """Mixin for a Trainer: its checkpoints go through the CheckpointStore, never straight to their place."""

    store: CheckpointStore
    state: Any

    def _save_checkpoint(self, model: Any, trial: Any = None) -> None:
        save = super()._save_checkpoint  # type: ignore[misc]
        self.store.write(self.state.global_step, lambda: save(model, trial))
