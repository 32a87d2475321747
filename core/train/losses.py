"""The loss, computed only where a token is trained: the rest of the logits is never made."""

from __future__ import annotations

import inspect

import torch
from torch.nn import functional

from core.train.rows import IGNORED


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
