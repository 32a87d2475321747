"""The engine that runs everywhere: Transformers, PEFT, bitsandbytes for 4 bits, and the plain Trainer."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, cast

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    Trainer,
    TrainingArguments,
)

from core.base.errors import UserError
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
    """The base model with a fresh LoRA adapter. The adapter's weights are always float32."""
    recipe = setup.recipe
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        setup.model_folder,
        dtype=DTYPES[setup.precision],
        device_map={"": setup.device},
        quantization_config=_quantization(setup),
        attn_implementation=attention_for(setup),
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
    return get_peft_model(model, lora_config(setup))


def lora_config(setup: Setup) -> LoraConfig:
    recipe = setup.recipe
    return LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=recipe.target_modules,
        bias="none",
        task_type="CAUSAL_LM",
    )


def attention_for(setup: Setup) -> str | None:
    """Transformers' name for the attention; None leaves the choice to it (SDPA where the model has it).

    Its SDPA leaves out without a word that some models (Gemma 2) cap their scores; its eager one does not.
    """
    wanted = setup.recipe.attention
    if wanted == "auto":
        settings = AutoConfig.from_pretrained(setup.model_folder).get_text_config()
        return "eager" if getattr(settings, "attn_logit_softcapping", None) else None
    if wanted == "flash_attention_2" and (
        find_spec("flash_attn") is None or setup.device != "cuda" or setup.precision == "fp32"
    ):
        raise UserError(
            "The recipe asks for flash_attention_2, which needs the package flash-attn and an NVIDIA GPU "
            "that computes in bf16 or fp16. Set attention to “auto”."
        )
    return wanted


def _quantization(setup: Setup) -> BitsAndBytesConfig | None:
    if setup.recipe.quantization == "none":
        return None
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=setup.recipe.double_quantization,
        bnb_4bit_compute_dtype=DTYPES[setup.precision],
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
