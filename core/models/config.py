"""config.json: checked string by string before any library sees it, its fields when they are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.base.errors import UserError

# far beyond any model, small enough that arithmetic and loops over layers stay quick
LARGEST = 1 << 28
MOST_LAYERS = 2000
_LONGEST_SHOWN = 60


def shown(value: Any) -> str:
    """A value as it is quoted in a refusal: never long, whatever the file holds."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


# a config's strings reach other people's code as module and class names
IDENTIFIER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}")
# C0, DEL, C1, the separators that some parsers take for line ends, marks that turn the order of what is
# shown, and halves of characters, which no terminal and no file takes
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST_STRING = 1024
# what Transformers reads weights from, in its order
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_MOST_VALUES = 100_000
_DEEPEST = 16


def check_config(config: Any, where: str) -> dict[str, Any]:
    """The config, if nothing in it can be taken for anything but data. `where` names it in the refusal."""
    if not isinstance(config, dict):
        raise UserError(f"{where} is not the config of a Hugging Face model: it holds no JSON object.")
    values = config_values(config, where)
    for path, value in values:
        if isinstance(value, str):
            _check_string(value, path, where)
        elif isinstance(value, dict):
            for key in value:
                _check_string(str(key), f"a name below {path or 'the top'}", where)
    for _, value in values:
        if isinstance(value, dict):
            _check_names(value, where)
            _check_kernels(value, where)
    _check_code(config, where)
    return config


def config_values(config: dict[str, Any], where: str) -> list[tuple[str, Any]]:
    """Every value of a config, those inside of others too, with the path to it."""
    values: list[tuple[str, Any]] = [("", config)]
    depths = [0]
    for number, (path, value) in enumerate(values):
        inside: list[tuple[str, Any]] = []
        if isinstance(value, dict):
            inside = [(f"{path}.{key}" if path else str(key), item) for key, item in value.items()]
        elif isinstance(value, list):
            inside = [(path, item) for item in value]
        if len(values) + len(inside) > _MOST_VALUES or depths[number] > _DEEPEST:
            raise UserError(f"{where} is too large or too deep for a model's config. Get the model again.")
        values.extend(inside)
        depths.extend([depths[number] + 1] * len(inside))
    return values


def _check_string(text: str, path: str, where: str) -> None:
    if len(text) > _LONGEST_STRING:
        raise UserError(f"{where} has {len(text)} characters in {path[:99]}. Get the model again.")
    if _CONTROL.search(text):
        raise UserError(f"{where} has a line break or control character in {path[:99]}: {text[:60]!r}.")


def _check_names(part: dict[str, Any], where: str) -> None:
    """Model types and architectures, also those of the parts of a multimodal model, are plain identifiers."""
    names = [part["model_type"]] if part.get("model_type") else []
    architectures = part.get("architectures")
    if architectures is not None:
        names += architectures if isinstance(architectures, list) else [architectures]
    for name in names:
        if not isinstance(name, str) or not IDENTIFIER.fullmatch(name):
            raise UserError(f"{where} names an impossible model type or architecture: {shown(name)}.")


def _check_kernels(part: dict[str, Any], where: str) -> None:
    """Transformers fetches an attention that is called owner/name from the hub, as a compiled program."""
    for key, value in part.items():
        if key.removesuffix("_internal").endswith("_implementation") and "/" in str(value):
            raise UserError(
                f"{where} asks to run a program from the hub ({key}: {shown(value)}), which is never done "
                "here. Take that line out of it, or choose another model."
            )


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
    if config.get("transformers_weights") not in (None, *WEIGHTS):
        raise UserError(
            f"{where} wants weights to be read from {shown(config['transformers_weights'])} instead of "
            f"{WEIGHTS[0]}. Take that line (transformers_weights) out of it."
        )


@cache
def transformers_has(model_type: str) -> bool:
    """Whether Transformers has this type built in; its table of classes is read, nothing is imported."""
    package = find_spec("transformers")
    folders = list(package.submodule_search_locations or []) if package else []
    tables = [Path(folder) / "models" / "auto" / "modeling_auto.py" for folder in folders]
    row = f'("{model_type}", "'
    return any(row in table.read_text(encoding="utf-8") for table in tables if table.is_file())


def architecture_of(config: dict[str, Any]) -> str:
    """The first class that the config names: LlamaForCausalLM."""
    names = config.get("architectures") or ""
    return str(names[0] if isinstance(names, list) else names)


def text_part(config: dict[str, Any]) -> dict[str, Any]:
    """The fields of the text model: a part of their own where a model also sees or hears."""
    text = config.get("text_config")
    return text if isinstance(text, dict) else config


def context_of(config: dict[str, Any]) -> int | None:
    """The longest text in tokens, where the config tells."""
    text = text_part(config)
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")
    value = next((text[name] for name in names if text.get(name) is not None), None)
    return value if type(value) is int and 0 < value <= LARGEST else None


def stored_as(config: dict[str, Any]) -> str:
    """What the weights' files hold, as the config says: bf16, fp16, fp32, nf4, int8, or another's name."""
    quantization = config.get("quantization_config")
    if isinstance(quantization, dict):
        if quantization.get("load_in_4bit") or quantization.get("_load_in_4bit"):
            return "nf4" if quantization.get("bnb_4bit_quant_type", "nf4") == "nf4" else "fp4"
        if quantization.get("load_in_8bit") or quantization.get("_load_in_8bit"):
            return "int8"
        return str(quantization.get("quant_method", ""))
    parts = (config, text_part(config))
    dtype = next((part[name] for part in parts for name in ("dtype", "torch_dtype") if part.get(name)), None)
    return {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}.get(str(dtype), "")


class Fields:
    """The fields of one config, each checked when it is read; a UserError names the file and the field."""

    def __init__(self, values: Mapping[str, Any], where: str):
        self.values = values
        self.where = where

    def get(self, *names: str) -> Any:
        """The first of these fields that is set."""
        return next((self.values[name] for name in names if self.values.get(name) is not None), None)

    def whole(self, *names: str, default: int | None = None, least: int = 1, most: int = LARGEST) -> int:
        """A whole number. Without `default` the field must be there."""
        value = self.get(*names)
        if value is None:
            value = default
        if value is None:
            raise UserError(
                f"{self.where} has no {names[0]}, without which the model's size can't be worked out. "
                "Get the complete config.json."
            )
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.impossible(names[0], value)
        return value

    def flag(self, name: bool | str, usual: bool = False) -> bool:
        """A yes or no, `usual` when the field is not there; or the answer itself, where there is no field."""
        value = name if isinstance(name, bool) else self.get(name)
        if value not in (None, False, True):
            raise self.impossible(str(name), value)
        return usual if value is None else bool(value)

    def impossible(self, name: str, value: Any) -> UserError:
        return UserError(f"{self.where} has an impossible {name}: {shown(value)}.")
