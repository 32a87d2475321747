"""config.json: checked string by string before any library sees it."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.models.architectures import FAMILIES
from core.models.fields import shown
from core.models.towers import WRAPPERS

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
    values = _values(config, where)
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


def _values(config: dict[str, Any], where: str) -> list[tuple[str, Any]]:
    """Every value of a config, those inside of others too, with the path to it."""
    found: list[tuple[str, Any]] = [("", config)]
    depths = [0]
    for number, (path, value) in enumerate(found):
        inside: list[tuple[str, Any]] = []
        if isinstance(value, dict):
            inside = [(f"{path}.{key}" if path else str(key), item) for key, item in value.items()]
        elif isinstance(value, list):
            inside = [(path, item) for item in value]
        if len(found) + len(inside) > _MOST_VALUES or depths[number] > _DEEPEST:
            raise UserError(f"{where} is too large or too deep for a model's config. Get the model again.")
        found.extend(inside)
        depths.extend([depths[number] + 1] * len(inside))
    return found


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


def transformers_has(model_type: str) -> bool:
    """Whether Transformers has this type built in; its folder is looked at, nothing is imported."""
    if model_type in FAMILIES or model_type in WRAPPERS:
        return True
    found = find_spec("transformers")
    folders = list(found.submodule_search_locations or []) if found else []
    name = model_type.replace("-", "_")
    return name.isidentifier() and any((Path(folder) / "models" / name).is_dir() for folder in folders)
