"""Unsloth: the only file that knows it. Its import rewrites other libraries, so only workers do it."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from core.base.errors import first_line
from core.base.home import GARAGE

if TYPE_CHECKING:
    import torch

    from core.train.engine import Setup
    from core.train.rows import Rows

_NEEDED = ("unsloth", "unsloth_zoo", "trl", "peft", "datasets")


def prepare() -> str | None:
    """Import Unsloth. None when that worked, otherwise why it can't be used, as a clause."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        return f"{missing[0]} is not installed"
    # no usage counting, and its generated code not in the current folder
    os.environ["UNSLOTH_DISABLE_STATISTICS"] = "1"
    os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(GARAGE / "unsloth"))
    try:
        importlib.import_module("unsloth")
    # its import runs much foreign code that probes the machine: any failure means "not here"
    except Exception as error:
        said = f"{type(error).__name__}: {first_line(error)}"
        return f"Unsloth can't be imported here ({said.rstrip(': .')})"
    return None


def _checkpointing(setup: Setup) -> bool | str:
    """Unsloth's own argument: its offloading kind, the plain kind, or none."""
    return {"none": False, "hf": True, "unsloth": "unsloth"}[setup.recipe.checkpointing]


def load_model(setup: Setup) -> torch.nn.Module:
    """The base model with a fresh LoRA adapter, as `FastLanguageModel` makes it."""
    from unsloth import FastLanguageModel

    from core.train.peft_engine import DTYPES

    recipe = setup.recipe
    model, _ = FastLanguageModel.from_pretrained(
        model_name=str(setup.model_folder),
        max_seq_length=recipe.max_length,
        dtype=DTYPES[recipe.precision],
        load_in_4bit=recipe.quantization == "nf4",
        use_gradient_checkpointing=_checkpointing(setup),
        # its own default moves the embedding only when the card is short of room
        offload_embedding=True if recipe.offload_embedding else "auto",
    )
    return FastLanguageModel.get_peft_model(
        model,
        r=recipe.rank,
        target_modules=recipe.target_modules,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        bias="none",
        use_gradient_checkpointing=_checkpointing(setup),
        random_state=recipe.seed,
        max_seq_length=recipe.max_length,
    )


def make_trainer(
    setup: Setup,
    model: Any,
    rows: Rows,
    arguments: dict[str, Any],
    **rest: Any,
) -> Any:
    """TRL's SFTTrainer, as Unsloth has patched it, over rows that are tokenized and masked already."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

    from core.train.trainer import SharedTrainer

    class SharedSFTTrainer(SharedTrainer, SFTTrainer):
        pass

    config = SFTConfig(
        **arguments,
        max_length=setup.recipe.max_length,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return SharedSFTTrainer(
        model=model,
        args=config,
        train_dataset=Dataset(_table(rows)),
        # only so that SFTTrainer doesn't look for one; nothing is tokenized with it
        processing_class=AutoTokenizer.from_pretrained(setup.model_folder, local_files_only=True),
        **rest,
    )


def _table(rows: Rows) -> Any:
    """The rows as an Arrow table over the same memory."""
    from pyarrow import LargeListArray, table

    parts = {"input_ids": rows.ids, "labels": rows.labels}
    return table({name: LargeListArray.from_arrays(rows.starts, part) for name, part in parts.items()})


def summed_loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cross-entropy summed over the trained tokens. On a GPU Unsloth's fused loss never makes the logits."""
    from core.train import losses
    from core.train.rows import IGNORED

    if "unsloth" in sys.modules and sys.modules["unsloth"].DEVICE_TYPE == "cpu":
        return losses.summed_loss(model, batch)
    tokens = (batch["labels"][:, 1:] != IGNORED).sum()
    return model(**batch).loss * tokens
