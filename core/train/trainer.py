"""What both engines share: rows, batches, and the Trainer's settings as they follow from a Recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.recipe import Recipe
from core.train.checkpoints import CheckpointStore
from core.train.rows import IGNORED


@dataclass(frozen=True)
class Collator:
    """Makes a batch of rows by padding on the right to the longest. A single row passes unchanged."""

    pad_id: int

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """input_ids, labels and attention_mask, each (rows, longest) int64."""
        shape = len(rows), max(len(row["input_ids"]) for row in rows)
        batch = {
            "input_ids": torch.full(shape, self.pad_id),
            "labels": torch.full(shape, IGNORED),
            "attention_mask": torch.zeros(shape, dtype=torch.int64),
        }
        for place, row in enumerate(rows):
            length = len(row["input_ids"])
            batch["input_ids"][place, :length] = torch.tensor(row["input_ids"])
            batch["labels"][place, :length] = torch.tensor(row["labels"])
            batch["attention_mask"][place, :length] = 1
        return batch


def plan_parts(lengths: list[int], budget: int, by_length: bool = True) -> list[list[int]]:
    """Share out rows to parts that are computed at once: indices of rows, at most `budget` tokens a part.

    Padding counts, so the budget bounds the memory; a row longer than it stays alone. Short rows go
    through together: one by one they use a third of what a processor can do.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row]) if by_length else range(len(lengths))
    parts: list[list[int]] = []
    longest = 0
    for row in order:
        longest = max(longest, lengths[row])
        if not parts or (len(parts[-1]) + 1) * longest > budget:
            parts.append([])
            longest = lengths[row]
        parts[-1].append(row)
    return parts


def split_batch(
    batch: dict[str, torch.Tensor], budget: int, by_length: bool
) -> list[dict[str, torch.Tensor]]:
    """The batch in parts of at most `budget` tokens, each without needless padding."""
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    parts = plan_parts(lengths, budget, by_length)
    return [
        {key: value[rows, : max(lengths[row] for row in rows)] for key, value in batch.items()}
        for rows in parts
    ]


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


def token_budget(recipe: Recipe) -> int:
    """Tokens computed at once: what `micro_batch` rows of full length come to."""
    return recipe.micro_batch * recipe.max_length
