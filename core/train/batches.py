"""Batches: padded, shared out to parts that fit into memory, and their loss. Needs torch only."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from core.recipe import Recipe
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


def token_budget(recipe: Recipe) -> int:
    """Tokens computed at once: what `micro_batch` rows of full length come to."""
    return recipe.micro_batch * recipe.max_length


def summed_loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cross-entropy in nats, summed over the batch's trained tokens.

    `batch` holds input_ids, attention_mask and labels, each (rows, tokens). The logits are made only for
    positions that some row trains: with a vocabulary of 150,000 they are the largest tensor of a step.
    """
    targets = batch["labels"][:, 1:]
    positions = (targets != IGNORED).any(dim=0).nonzero().squeeze(-1)
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    if _keeps_logits(model):
        logits = model(**inputs, logits_to_keep=positions, use_cache=False).logits
    else:
        logits = model(**inputs, use_cache=False).logits[:, positions]
    wanted = targets[:, positions].reshape(-1).to(logits.device)
    flat = logits.reshape(-1, logits.shape[-1]).float()
    return functional.cross_entropy(flat, wanted, ignore_index=IGNORED, reduction="sum")


def _keeps_logits(model: torch.nn.Module) -> bool:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    return "logits_to_keep" in inspect.signature(type(base).forward).parameters
