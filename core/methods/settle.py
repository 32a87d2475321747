"""What this machine makes of a recipe, said once: engine, precision, optimizer, checkpointing, attention.

`settle(recipe, device)` gives the recipe as it will be trained, and a sentence for each knob that was
decided. The fit, the page, the commands and the train worker all ask it; nobody else decides these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from core.recipe import Recipe

# makers whose cards bitsandbytes has 8-bit optimizers for
WITH_8_BIT = ("nvidia", "amd")
# Unsloth moves these from the targets to modules_to_save (models/_utils.py, _redirect_embedding_targets)
_TRAINED_WHOLE = ("embed_tokens", "lm_head")


@dataclass(frozen=True)
class Device:
    """What the maths runs on. `bf16_cost` is bfloat16's time over float32's, measured, on a CPU.

    `unsloth` says as a clause why Unsloth can't be had; empty where it can. `flash`: flash-attn is installed.
    """

    kind: Literal["cpu", "cuda", "xpu", "mps"]
    name: str
    bf16: bool
    bf16_cost: float | None = None
    vendor: str = ""
    unsloth: str = ""
    flash: bool = True


@dataclass(frozen=True)
class Reason:
    """One knob that was decided: what the recipe wants, what is taken, and why."""

    knob: str
    wanted: Any
    taken: Any
    sentence: str

    @property
    def changes_a_wish(self) -> bool:
        """Whether the recipe names something else; `auto` leaves the choice."""
        return self.wanted not in ("auto", self.taken)


def settle(recipe: Recipe, device: Device, caps_scores: bool = False) -> tuple[Recipe, tuple[Reason, ...]]:
    """The recipe as it will be trained on this device, and why.

    `caps_scores`: the model caps its attention scores (Gemma 2). Attention stays `auto` where the engine
    takes the fastest that the model has. What the recipe insists on and can't have becomes what is nearest:
    `unmet` says so, and no training starts.
    """
    engine, engine_why = _engine(recipe, device)
    precision, precision_why = _precision(recipe, device)
    decided = {
        "engine": (engine, engine_why),
        "precision": (precision, precision_why),
        "optimizer": _optimizer(recipe, device),
        "checkpointing": _checkpointing(recipe, device, engine),
        "attention": _attention(recipe, device, engine, precision, caps_scores),
        "offload_embedding": _offload(recipe, device),
    }
    reasons = tuple(
        Reason(knob, getattr(recipe, knob), taken, sentence)
        for knob, (taken, sentence) in decided.items()
        if sentence
    )
    return recipe.model_copy(update={knob: taken for knob, (taken, _) in decided.items()}), reasons


def unmet(recipe: Recipe, device: Device) -> str:
    """What the recipe insists on and can't have there, with the remedy; empty where there is nothing."""
    problem = _beyond_unsloth(recipe) or device.unsloth
    if recipe.engine == "unsloth" and problem:
        return f"The recipe asks for Unsloth, but {problem}. Set engine to “auto” or “peft”."
    if recipe.attention == "flash_attention_2" and not _flash(device, _precision(recipe, device)[0]):
        return (
            "The recipe asks for flash_attention_2, which needs the package flash-attn and an NVIDIA GPU "
            "that computes in bf16 or fp16. Set attention to “auto”."
        )
    return ""


def reason_for(knob: str, reasons: Iterable[Reason]) -> str:
    """The sentence about one knob; empty where nothing had to be decided."""
    return next((reason.sentence for reason in reasons if reason.knob == knob), "")


def wants_unsloth(recipe: Recipe) -> bool:
    """Whether Unsloth would train it where it can be had: only then is it worth its ten seconds of import."""
    return recipe.engine != "peft" and not _beyond_unsloth(recipe)


def _engine(recipe: Recipe, device: Device) -> tuple[str, str]:
    if recipe.engine == "peft":
        return "peft", "The recipe asks for Transformers + PEFT."
    problem = _beyond_unsloth(recipe) or device.unsloth
    if not problem:
        return "unsloth", "Unsloth is installed and runs on this machine."
    return "peft", f"Transformers + PEFT, because {problem}."


def _beyond_unsloth(recipe: Recipe) -> str:
    """What the recipe asks for and Unsloth does otherwise, as a clause."""
    if recipe.quantization == "nf4" and not recipe.double_quantization:
        return "Unsloth always quantizes the 4-bit constants too, which the recipe switches off"
    if recipe.attention != "auto":
        return f"Unsloth chooses its attention itself, and the recipe asks for {recipe.attention}"
    targets = recipe.target_modules
    names = [targets] if isinstance(targets, str) else targets
    whole = [name for name in names if name.rpartition(".")[2] in _TRAINED_WHOLE]
    if whole:
        return f"Unsloth trains {' and '.join(whole)} whole, and the recipe asks for an adapter on it"
    return ""


def _precision(recipe: Recipe, device: Device) -> tuple[str, str]:
    """The number format, and the reason as a clause: `("bf16", "RTX 4090 computes in bfloat16")`."""
    best, why = _best_precision(device)
    wanted = recipe.precision
    if wanted in ("auto", best):
        return best, why
    if wanted == "bf16" and not device.bf16:
        return best, f"the recipe asks for bf16, but {why}"
    if wanted == "fp16" and device.kind != "cuda":
        return best, f"the recipe asks for fp16, but only CUDA GPUs train in it; {why}"
    return wanted, "the recipe asks for it"


def _best_precision(device: Device) -> tuple[str, str]:
    if device.kind == "mps":
        return "fp32", "float32 is the safe choice on Apple GPUs"
    if device.kind == "cuda" and not device.bf16:
        return "fp16", f"{device.name} is too old for bfloat16"
    if device.kind == "xpu" and not device.bf16:
        return "fp32", f"{device.name} does not compute in bfloat16"
    if device.kind in ("cuda", "xpu"):
        return "bf16", f"{device.name} computes in bfloat16"
    if device.bf16:
        return "bf16", "this CPU computes in bfloat16"
    cost = f" ({device.bf16_cost:.0f} times slower)" if device.bf16_cost and device.bf16_cost >= 2 else ""
    return "fp32", f"this CPU emulates bfloat16{cost}"


def _optimizer(recipe: Recipe, device: Device) -> tuple[str, str]:
    if "8bit" not in recipe.optimizer or device.kind == "cuda":
        return recipe.optimizer, ""
    return "adamw_torch", (f"The optimizer {recipe.optimizer} needs a CUDA GPU; adamw_torch is used instead.")


def _checkpointing(recipe: Recipe, device: Device, engine: str) -> tuple[str, str]:
    if recipe.checkpointing != "unsloth":
        return recipe.checkpointing, ""
    if device.kind == "cpu":
        return (
            "hf",
            "Unsloth's checkpointing spares a GPU's memory; without one, hf is used instead.",
        )
    if engine == "peft":
        return "hf", "Unsloth's checkpointing needs its engine; hf is used instead."
    return "unsloth", ""


def _attention(
    recipe: Recipe, device: Device, engine: str, precision: str, caps_scores: bool
) -> tuple[str, str]:
    """Transformers' SDPA leaves out without a word that some models cap their scores; eager does not."""
    if recipe.attention == "auto" and engine == "peft" and caps_scores:
        return "eager", "Only eager attention caps its scores as this model wants it."
    if recipe.attention == "flash_attention_2" and not _flash(device, precision):
        return "auto", "flash_attention_2 can't be had here; the fastest that is there is taken."
    return recipe.attention, ""


def _flash(device: Device, precision: str) -> bool:
    return device.flash and device.kind == "cuda" and precision != "fp32"


def _offload(recipe: Recipe, device: Device) -> tuple[bool, str]:
    if recipe.offload_embedding and device.kind == "cpu":
        return False, "The token embedding is in the computer's memory already."
    return recipe.offload_embedding, ""
