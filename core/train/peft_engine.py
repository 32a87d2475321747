"""The engine that runs everywhere: Transformers, PEFT, bitsandbytes for 4 bits, and the plain Trainer."""

from __future__ import annotations

from typing import Any, cast

import torch
from peft import get_peft_model
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    Trainer,
    TrainingArguments,
)

from core.base.errors import UserError
from core.methods.method import method_of
from core.train.engine import Setup
from core.train.host_embedding import keep_embedding_in_ram
from core.train.losses import summed_loss
from core.train.rows import Rows
from core.train.trainer import SharedTrainer

__all__ = ["load_model", "make_trainer", "summed_loss"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TrainedTokensTrainer(SharedTrainer, Trainer):
    """The plain Trainer; its loss makes logits only where a token is trained."""

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        return summed_loss(model, inputs) / num_items_in_batch


def load_model(setup: Setup) -> torch.nn.Module:
    """The base model with a fresh adapter. The adapter's weights are always float32."""
    recipe = setup.recipe
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        setup.model_folder,
        dtype=DTYPES[recipe.precision],
        device_map={"": setup.device},
        quantization_config=_quantization(setup),
        # None leaves the choice to Transformers: SDPA where the model has it
        attn_implementation=None if recipe.attention == "auto" else recipe.attention,
        output_loading_info=True,
    )
    model, info = loaded
    missing = sorted(info["missing_keys"])
    if missing:
        raise UserError(
            f"{setup.model_folder} lacks {len(missing)} weights of the model (the first: {missing[0]}). "
            "Get it again."
        )
    keep_trainable_layout(model)
    model.config.use_cache = False
    if recipe.offload_embedding:
        keep_embedding_in_ram(model)
    if recipe.checkpointing != "none":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    torch.manual_seed(recipe.seed)
    return get_peft_model(model, method_of(recipe).config(recipe))


def _quantization(setup: Setup) -> BitsAndBytesConfig | None:
    if setup.recipe.quantization == "none":
        return None
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=setup.recipe.double_quantization,
        bnb_4bit_compute_dtype=DTYPES[setup.recipe.precision],
    )


def keep_trainable_layout(model: torch.nn.Module) -> None:
    """Stop bitsandbytes 0.50 from repacking 4-bit weights on some CPUs at the first evaluation.

    It never unpacks them, and gradients through packed weights are wrong.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # pyright: ignore[reportArgumentType]


def make_trainer(
    setup: Setup,
    model: torch.nn.Module,
    rows: Rows,
    arguments: dict[str, Any],
    **rest: Any,
) -> TrainedTokensTrainer:
    trainer = TrainedTokensTrainer(
        model=model,
        args=TrainingArguments(**arguments),
        train_dataset=cast(Any, rows),
        **rest,
    )
    # the loss above divides by the tokens of the whole step itself
    trainer.model_accepts_loss_kwargs = True
    return trainer
