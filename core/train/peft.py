"""The engine that runs everywhere: Transformers, PEFT, bitsandbytes for 4 bits, and the plain Trainer."""

from __future__ import annotations

from pathlib import Path
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
from core.recipe import Recipe
from core.train.batches import summed_loss
from core.train.engine import DTYPES, SharedTrainer
from core.train.rows import Rows

__all__ = ["load_model", "make_trainer", "summed_loss"]


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


def load_model(recipe: Recipe, folder: Path, device: str) -> torch.nn.Module:
    """The base model with a fresh adapter. The adapter's weights are always float32."""
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=DTYPES[recipe.precision],
        device_map={"": device},
        quantization_config=_quantization(recipe),
        # None leaves the choice to Transformers: SDPA where the model has it
        attn_implementation=None if recipe.attention == "auto" else recipe.attention,
        output_loading_info=True,
    )
    model, info = loaded
    missing = sorted(info["missing_keys"])
    if missing:
        raise UserError(
            f"{folder} lacks {len(missing)} weights of the model (the first: {missing[0]}). Get it again."
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


def _quantization(recipe: Recipe) -> BitsAndBytesConfig | None:
    if recipe.quantization == "none":
        return None
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=recipe.double_quantization,
        bnb_4bit_compute_dtype=DTYPES[recipe.precision],
    )


def keep_trainable_layout(model: torch.nn.Module) -> None:
    """Stop bitsandbytes 0.50 from repacking 4-bit weights on some CPUs at the first evaluation.

    It never unpacks them, and gradients through packed weights are wrong.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # pyright: ignore[reportArgumentType]


def make_trainer(
    recipe: Recipe,
    folder: Path,
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


class HostEmbedding(torch.nn.Module):
    """Looks tokens up on the CPU and hands the rows to where the tokens came from."""

    def __init__(self, embedding: torch.nn.Module) -> None:
        super().__init__()
        # in a tuple it is no submodule, so the Trainer's `model.to(device)` leaves it where it is
        self._held = (embedding.to("cpu").requires_grad_(False),)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(rows, tokens) → (rows, tokens, hidden), on the tokens' device."""
        return self._held[0](tokens.to("cpu")).to(tokens.device)


def keep_embedding_in_ram(model: Any) -> int:
    """Replace the model's frozen token embedding by one in RAM; the bytes that this saves on the GPU.

    Where lm_head shares the weights they are needed on the GPU anyway: nothing changes, 0 bytes.
    """
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is not None and head.weight is embedding.weight:
        return 0
    model.set_input_embeddings(HostEmbedding(embedding))
    return sum(weight.numel() * weight.element_size() for weight in embedding.parameters())
