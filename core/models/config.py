"""config.json: checked string by string before any library sees it; a ModelSpec from its fields."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.models.architectures import FAMILIES
from core.models.families import Family
from core.models.fields import Fields
from core.models.shapes import Parts
from core.models.spec import ModelSpec
from core.models.towers import WRAPPERS, Wrapper, add_towers

# a config's strings reach other people's code as module and class names
IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]{1,96}")
# C0, DEL, C1, and the separators that some parsers take for line ends
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONGEST_STRING = 1024
_ACTIVATION = ("hidden_act", "hidden_activation", "activation_function")
_MOST_VALUES = 100_000
_DEEPEST = 16


def check_config(config: Any, where: str) -> dict[str, Any]:
    """The config, if nothing in it can be taken for anything but data. `where` names it in the refusal."""
    if not isinstance(config, dict):
        raise UserError(f"{where} is not the config of a Hugging Face model: it holds no JSON object.")
    for path, value in _strings(config, where):
        if len(value) > _LONGEST_STRING:
            raise UserError(f"{where} has {len(value)} characters in {path}. Get the model again.")
        if _CONTROL.search(value):
            raise UserError(f"{where} has a line break or control character in {path}: {value[:60]!r}.")
    _check_names(config, where)
    _check_code(config, where)
    return config


def _strings(config: dict[str, Any], where: str) -> Iterator[tuple[str, str]]:
    """Every string and key of a config with the path to it."""
    waiting: list[tuple[str, Any, int]] = [("", config, 0)]
    seen = 0
    while waiting:
        path, value, depth = waiting.pop()
        seen += 1
        if seen > _MOST_VALUES or depth > _DEEPEST:
            raise UserError(f"{where} is too large or too deep for a model's config. Get the model again.")
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, dict):
            for key, item in value.items():
                yield f"a name below {path or 'the top'}", str(key)
                waiting.append((f"{path}.{key}" if path else str(key), item, depth + 1))
        elif isinstance(value, list):
            waiting.extend((path, item, depth + 1) for item in value)


def _check_names(config: dict[str, Any], where: str) -> None:
    """Model types and architectures, also those of the parts of a multimodal model, are plain identifiers."""
    parts = [config, *(value for value in config.values() if isinstance(value, dict))]
    for part in parts:
        names = [part["model_type"]] if part.get("model_type") else []
        architectures = part.get("architectures")
        if architectures is not None:
            names += architectures if isinstance(architectures, list) else [architectures]
        for name in names:
            if not isinstance(name, str) or not IDENTIFIER.fullmatch(name):
                raise UserError(f"{where} names an impossible model type or architecture: {name!r}.")


def _check_code(config: dict[str, Any], where: str) -> None:
    """Models that bring their own Python code are refused; `auto_map` beside a built-in type is ignored."""
    wants = bool(config.get("trust_remote_code"))
    if config.get("auto_map") and not transformers_has(str(config.get("model_type", ""))):
        wants = True
    if wants:
        raise UserError(
            f"{where} asks to run Python code that comes with the model, which is never done here. "
            "Choose a model whose architecture Transformers has built in."
        )


def transformers_has(model_type: str) -> bool:
    """Whether Transformers has this type built in; its folder is looked at, nothing is imported."""
    if model_type in FAMILIES or model_type in WRAPPERS:
        return True
    found = find_spec("transformers")
    folders = list(found.submodule_search_locations or []) if found else []
    name = model_type.replace("-", "_")
    return name.isidentifier() and any((Path(folder) / "models" / name).is_dir() for folder in folders)


def spec_of_config(config: Any, name: str = "", where: str = "") -> ModelSpec:
    """The shapes that a config.json describes. `where` names the file in what is said to the user.

    Exact for the families in `architectures`: the same count that Transformers' model class has. Other
    types are taken for something like Llama and marked `exact=False`.
    """
    where = where or (f"config.json of {name}" if name else "config.json")
    config = check_config(config, where)
    whole = Fields(config, where)
    nested = isinstance(config.get("text_config"), dict)
    fields = whole.part("text_config") if nested else whole
    outer = str(config.get("model_type") or _type_of_class(architecture_of(config)))
    wrapper = WRAPPERS.get(outer)
    kind = _text_type(outer, str(fields.get("model_type") or ""), wrapper)
    family = FAMILIES.get(kind, FAMILIES["llama"])
    if nested and wrapper and not wrapper.alone:
        family = family.inside("model.language_model")
    exact = kind in FAMILIES and (wrapper is not None or not nested)
    spec = _spec(fields, family, config)
    spec = replace(spec, name=name, model_type=outer or kind, exact=exact)
    return _with_towers(spec, wrapper, whole) if wrapper else spec


def _text_type(outer: str, inner: str, wrapper: Wrapper | None) -> str:
    """The type of the text model: its own, or the usual one of the model around it."""
    if inner and inner in FAMILIES:
        return inner
    return wrapper.text if wrapper else inner or outer


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
    fields.defaults = family.defaults
    sizes = family.sizes(fields)
    parts = Parts()
    tied = _tied(fields, family, config)
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


def _tied(fields: Fields, family: Family, config: dict[str, Any]) -> bool:
    """Whether the head is the embedding: as the config says, its text part, or the class's default."""
    for value in (config.get("tie_word_embeddings"), fields.get("tie_word_embeddings", "tie_embedding")):
        if value is not None:
            return bool(value)
    return family.tied


def architecture_of(config: dict[str, Any]) -> str:
    """The first class that the config names: LlamaForCausalLM."""
    names = config.get("architectures") or ""
    return str(names[0] if isinstance(names, list) else names)


def context_of(fields: Fields) -> int | None:
    """The longest text in tokens, where the config tells."""
    value = fields.get("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


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
