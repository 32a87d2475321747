"""How many parameters a LoRA adapter has, and which layers get one, as PEFT 0.21 decides it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from core.base.errors import UserError
from core.models.spec import Linear, ModelSpec

ALL_LINEAR = "all-linear"
# how people write targets in short, and the names that models have for it
_SHORT = {
    "q": ("q_proj", "q_a_proj", "q_b_proj", "qkv_proj", "query_key_value", "c_attn", "Wqkv"),
    "k": ("k_proj", "kv_a_proj_with_mqa", "kv_b_proj", "qkv_proj", "query_key_value", "c_attn", "Wqkv"),
    "v": ("v_proj", "kv_a_proj_with_mqa", "kv_b_proj", "qkv_proj", "query_key_value", "c_attn", "Wqkv"),
    "o": ("o_proj", "out_proj", "dense"),
    "gate": ("gate_proj", "gate_up_proj", "w1"),
    "up": ("up_proj", "gate_up_proj", "w3", "fc1", "c_fc", "dense_h_to_4h"),
    "down": ("down_proj", "w2", "fc2", "dense_4h_to_h"),
    "in": ("in_proj",),
    "out": ("out_proj",),
    "head": ("lm_head",),
    "output": ("lm_head",),
    "embed": ("embed_tokens",),
}
# PEFT carries adapters of Transformers 4 over to 5, whose experts are one parameter a layer: for these types
# it turns the experts' old names into that parameter, also where all-linear was asked for
# (peft/utils/transformers_weight_conversion.py, transformers/conversion_mapping.py)
_LIKE_MIXTRAL = ("mixtral", "minimax", "minimax_m2")
# fmt: off
_LIKE_QWEN_MOE = (
    "afmoe", "cohere2_moe", "deepseek_v2", "deepseek_v3", "deepseek_v32", "dots1", "ernie4_5_moe",
    "exaone_moe", "flex_olmo", "glm4_moe", "glm4_moe_lite", "glm_moe_dsa", "hunyuan_v1_moe", "longcat_flash",
    "mellum", "olmoe", "qwen3_moe", "qwen3_next", "solar_open",
)
# fmt: on
# PEFT refuses Mamba's way out, whose kernel reads the weight past the adapter (peft/tuners/tuners_utils.py);
# Unsloth leaves it out of all-linear, and so does this count
_MAMBA = ("falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h")


@dataclass(frozen=True)
class AdaptedLayer:
    """A layer that gets an adapter; `times` the rank, where PEFT joins two adapters in one matrix."""

    linear: Linear
    times: int = 1


def lora_parameters(spec: ModelSpec, rank: int, target_modules: str | Iterable[str] = ALL_LINEAR) -> int:
    """Trainable parameters of a LoRA: rank × (inputs + outputs) of every targeted matrix.

    Hu et al. 2021, section 4.1. A UserError names what the model has where nothing matches.
    """
    targets = ((target.linear, target.times) for target in lora_targets(spec, target_modules))
    return sum(rank * times * (one.inputs + one.outputs) * one.count for one, times in targets)


def lora_targets(spec: ModelSpec, target_modules: str | Iterable[str] = ALL_LINEAR) -> list[AdaptedLayer]:
    """The layers that get an adapter: PEFT's choice for all-linear, or for names (also short: "q,v,head")."""
    names = _names(target_modules)
    moved = _old_expert_names(spec)
    if not names or bool({"all", "all_linear", ALL_LINEAR} & {name.lower() for name in names}):
        targets = _moved_targets(spec, [*moved], moved)
        plain = (linear for linear in (*spec.linears, *spec.vision) if not linear.fused)
        left_out = {*moved, "out_proj"} if spec.model_type in _MAMBA else moved
        return targets + [AdaptedLayer(linear) for linear in plain if linear.name not in left_out]
    if all(name in _SHORT or name in ("lm_head", "embed_tokens") for name in names):
        names = [long for name in names for long in _SHORT.get(name, (name,))]
    rest = [name for name in names if not any(_ends(name, old) for old in moved)]
    targets = _moved_targets(spec, names, moved)
    candidates = (linear for linear in _everywhere(spec) if not linear.fused)
    targets += [AdaptedLayer(chosen) for linear in candidates if (chosen := _named(linear, rest))]
    if not targets:
        own = ", ".join(dict.fromkeys(linear.name for linear in spec.linears if not linear.fused))
        raise UserError(f"{spec.name or 'The model'} has no layers named {', '.join(names)}. It has {own}.")
    return targets


def _names(target_modules: str | Iterable[str]) -> list[str]:
    given = [target_modules] if isinstance(target_modules, str) else list(target_modules)
    return [
        part.strip() for text in given for part in re.sub(r"\(.*?\)", "", text).split(",") if part.strip()
    ]


def _named(linear: Linear, names: list[str]) -> Linear | None:
    """The layer, or as many of its matrices as names with a layer's number mean."""
    if any(_ends(linear.path, name) for name in names):
        return linear
    numbered = [name for name in names if "." in name and any(letter.isdigit() for letter in name)]
    if not numbered:
        return None
    layers = tuple(n for n in linear.layers if any(_ends(linear.path.format(n), name) for name in numbered))
    return (
        replace(linear, layers=layers, count=linear.count * len(layers) // len(linear.layers))
        if layers
        else None
    )


def _ends(path: str, name: str) -> bool:
    """PEFT's test for a name in a list: the whole path or its last parts."""
    return path == name or path.endswith(f".{name}")


def _everywhere(spec: ModelSpec) -> list[Linear]:
    """All that names may mean: also the head and the embedding, which all-linear leaves out."""
    head = Linear("lm_head", spec.hidden, spec.vocab, 1, path=spec.head_path)
    name = spec.embedding_path.rpartition(".")[2]
    embedding = Linear(name, spec.vocab, spec.hidden, 1, path=spec.embedding_path)
    return [*spec.linears, *spec.vision, head, embedding]


def _old_expert_names(spec: ModelSpec) -> dict[str, str]:
    """The names that the experts and the router had in Transformers 4 → what PEFT makes of them."""
    if spec.model_type in _LIKE_MIXTRAL:
        return {"gate": "gate", "w1": "gate_up_proj", "w3": "gate_up_proj", "w2": "down_proj"}
    if spec.model_type in _LIKE_QWEN_MOE:
        joined = {"gate_proj": "gate_up_proj", "up_proj": "gate_up_proj"}
        return {"gate": "gate", **joined, "down_proj": "down_proj"}
    return {}


def _moved_targets(spec: ModelSpec, names: list[str], moved: dict[str, str]) -> list[AdaptedLayer]:
    """Adapters on the fused experts; the two halves of gate_up_proj make one of twice the rank."""
    chosen: dict[str, set[str]] = {}
    for name in names:
        for old, new in moved.items():
            if _ends(name, old):
                chosen.setdefault(new, set()).add(old)
    half = chosen.get("gate_up_proj")
    if half and len(half) == 1:
        both = " and ".join(old for old, new in moved.items() if new == "gate_up_proj")
        raise UserError(
            f"{spec.name or 'The model'} keeps {both} of its experts in one matrix. Target both or neither."
        )
    return [
        AdaptedLayer(linear, 2 if linear.name == "gate_up_proj" else 1)
        for linear in spec.linears
        if (linear.fused or linear.name == "gate") and linear.name in chosen
    ]
