"""Unsloth: the only file that imports it, before all others, because that rewrites other libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import unsloth  # isort: skip

import torch
from datasets import Dataset
from pyarrow import LargeListArray, table
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

from core.methods.method import method_of
from core.recipe import Recipe
from core.train import batches
from core.train.engine import DTYPES, SharedTrainer
from core.train.rows import IGNORED, Rows

# Unsloth's own argument: its offloading kind, the plain kind, or none
_CHECKPOINTING: dict[str, bool | str] = {"none": False, "hf": True, "unsloth": "unsloth"}


class SharedSFTTrainer(SharedTrainer, SFTTrainer):
    """TRL's SFTTrainer, as Unsloth has patched it."""


def load_model(recipe: Recipe, folder: Path, device: str) -> torch.nn.Module:
    """The base model with a fresh LoRA adapter, as `FastLanguageModel` makes it."""
    model, _ = unsloth.FastLanguageModel.from_pretrained(
        model_name=str(folder),
        max_seq_length=recipe.max_length,
        dtype=DTYPES[recipe.precision],
        load_in_4bit=recipe.quantization == "nf4",
        use_gradient_checkpointing=_CHECKPOINTING[recipe.checkpointing],
        # its own default moves the embedding only when the card is short of room
        offload_embedding=True if recipe.offload_embedding else "auto",
    )
    lora = method_of(recipe).config(recipe)
    return unsloth.FastLanguageModel.get_peft_model(
        model,
        r=lora.r,
        # as it was asked for: the configuration holds a list of names as a set, in any order
        target_modules=recipe.target_modules,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        bias=lora.bias,
        use_rslora=lora.use_rslora,
        use_gradient_checkpointing=_CHECKPOINTING[recipe.checkpointing],
        random_state=recipe.seed,
        max_seq_length=recipe.max_length,
    )


def make_trainer(
    recipe: Recipe, folder: Path, model: Any, rows: Rows, arguments: dict[str, Any], **rest: Any
) -> SharedSFTTrainer:
    """A Trainer over rows that are tokenized and masked already."""
    config = SFTConfig(
        **arguments,
        max_length=recipe.max_length,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return SharedSFTTrainer(
        model=model,
        args=config,
        train_dataset=Dataset(_table(rows)),
        # only so that SFTTrainer doesn't look for one; nothing is tokenized with it
        processing_class=AutoTokenizer.from_pretrained(folder, local_files_only=True),
        **rest,
    )


def _table(rows: Rows) -> Any:
    """The rows as an Arrow table over the same memory."""
    parts = {"input_ids": rows.ids, "labels": rows.labels}
    return table({name: LargeListArray.from_arrays(rows.starts, part) for name, part in parts.items()})


def summed_loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cross-entropy summed over the trained tokens. On a GPU Unsloth's fused loss never makes the logits."""
    if unsloth.DEVICE_TYPE == "cpu":
        return batches.summed_loss(model, batch)
    tokens = (batch["labels"][:, 1:] != IGNORED).sum()
    return model(**batch).loss * tokens
