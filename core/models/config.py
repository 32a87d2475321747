"""The shapes of a model from the fields of its config.json."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.models.architectures import FAMILIES
from core.models.checks import check_config
from core.models.defaults import class_defaults
from core.models.families import Family
from core.models.fields import LARGEST, Fields
from core.models.gemma import GEMMAS
from core.models.guess import guessed_family
from core.models.shapes import Parts
from core.models.spec import ModelSpec
from core.models.towers import WRAPPERS, Wrapper, add_towers

_ACTIVATION = ("hidden_act", "hidden_activation", "activation_function")


def spec_of_config(config: Any, name: str = "", where: str = "") -> ModelSpec:
    """The shapes that a config.json describes. `where` names the file in what is said to the user.

    Exact for the families in `architectures`: the same count that Transformers' model class has. Of other
    types the shapes are guessed from their fields and marked `exact=False`.
    """
    where = where or (f"config.json of {name}" if name else "config.json")
    config = check_config(config, where)
    whole = Fields(config, where)
    nested = isinstance(config.get("text_config"), dict)
    fields = whole.part("text_config") if nested else whole
    outer = str(config.get("model_type") or _type_of_class(architecture_of(config)))
    wrapper = WRAPPERS.get(outer)
    kind = _text_type(outer, str(fields.get("model_type") or ""), wrapper)
    family = FAMILIES.get(kind) or guessed_family(fields)
    if nested and wrapper and not wrapper.alone:
        family = family.inside("model.language_model")
    exact = kind in FAMILIES and (wrapper is not None or not nested) and _alike(fields, kind)
    fields.defaults = class_defaults(kind, part=nested)
    if kind and kind not in FAMILIES:
        fields.advice = (
            f"The type {kind} is not known here: give a folder or a hub id, whose weights tell it."
        )
    spec = _spec(fields, family, config)
    spec = replace(spec, name=name, model_type=outer or kind, exact=exact)
    return _with_towers(spec, wrapper, whole) if wrapper else spec


def _text_type(outer: str, inner: str, wrapper: Wrapper | None) -> str:
    """The type of the text model: its own, or the usual one of the model around it."""
    if inner and inner in FAMILIES:
        return inner
    return wrapper.text if wrapper else inner or outer


def _alike(fields: Fields, kind: str) -> bool:
    """Whether no layer has sizes of its own, which only Gemma 4's are counted with."""
    return kind in GEMMAS or not fields.get("per_layer_config")


def _type_of_class(name: str) -> str:
    """The type that a class's name means, for configs that leave `model_type` out: LlamaForCausalLM."""
    stem = name.removesuffix("ForCausalLM").lower()
    return next((kind for kind in FAMILIES if kind.replace("_", "") == stem), "")


def _with_towers(spec: ModelSpec, wrapper: Wrapper, fields: Fields) -> ModelSpec:
    parts = Parts()
    known = add_towers(parts, wrapper, fields, spec.hidden)
    return replace(
        spec,
        parameters=spec.parameters + parts.total,
        active=spec.active + parts.total,
        exact=spec.exact and known,
        vision=() if wrapper.alone else tuple(parts.linears),
        vision_parameters=parts.total,
    )


def _spec(fields: Fields, family: Family, config: dict[str, Any]) -> ModelSpec:
    """The text model; its name and type are filled in by who knows them."""
    sizes = family.sizes(fields)
    parts = Parts()
    tied = _tied(fields, config)
    family.add(parts, fields, sizes, tied)
    return ModelSpec(
        name="",
        architecture=architecture_of(config),
        model_type="",
        hidden=sizes.hidden,
        layers=sizes.layers,
        heads=sizes.heads,
        kv_heads=sizes.kv_heads,
        head_dim=sizes.head_dim,
        intermediate=sizes.intermediate,
        vocab=sizes.vocab,
        tied=tied,
        linears=tuple(parts.linears),
        parameters=parts.total,
        active=parts.total - parts.idle,
        context=context_of(fields),
        experts=_experts(family, fields),
        stored=stored_as(config),
        embedding_path=family.embedding,
        # only what the config itself says: other programs have their own function for a family
        activation=str(Fields(fields.values, fields.where).get(*_ACTIVATION) or ""),
    )


def _tied(fields: Fields, config: dict[str, Any]) -> bool:
    """Whether the head is the embedding: as the config says, its text part, or the class's default."""
    whole = Fields(config, fields.where)
    said = whole if whole.get("tie_word_embeddings") is not None else fields
    return said.flag("tie_word_embeddings", "tie_embedding")


def architecture_of(config: dict[str, Any]) -> str:
    """The first class that the config names: LlamaForCausalLM."""
    names = config.get("architectures") or ""
    return str(names[0] if isinstance(names, list) else names)


def context_of(fields: Fields) -> int | None:
    """The longest text in tokens, where the config tells."""
    value = fields.get("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")
    return value if type(value) is int and 0 < value <= LARGEST else None


def _experts(family: Family, fields: Fields) -> int:
    return fields.whole(*family.experts.number, default=0, least=0) if family.experts else 0


def stored_as(config: dict[str, Any]) -> str:
    """What the weights' files hold, as the config says: bf16, fp16, fp32, nf4, int8, or another's name."""
    quantization = config.get("quantization_config")
    if isinstance(quantization, dict):
        if quantization.get("load_in_4bit") or quantization.get("_load_in_4bit"):
            return "nf4" if quantization.get("bnb_4bit_quant_type", "nf4") == "nf4" else "fp4"
        if quantization.get("load_in_8bit") or quantization.get("_load_in_8bit"):
            return "int8"
        return str(quantization.get("quant_method", ""))
    text = config.get("text_config")
    dtype = config.get("dtype") or config.get("torch_dtype")
    if dtype is None and isinstance(text, dict):
        dtype = text.get("dtype") or text.get("torch_dtype")
    return {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}.get(str(dtype), "")
