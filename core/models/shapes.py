"""The shapes that a config.json describes: at once where they are known, else counted once by Transformers.

At once: the formula for ordinary dense decoders, the catalogue's shapes (presets/shapes.json), and what was
counted before (`shapes` in the home folder). Everything else is counted in a process of its own, which takes
some seconds, so that no page and no command loads torch for it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.files import read_json, write_json
from core.base.home import Home
from core.base.jobs import read_job, start_job, wait_job
from core.models.catalogue import SHAPES, load_catalogue
from core.models.config import (
    MOST_LAYERS,
    Fields,
    architecture_of,
    check_config,
    config_values,
    context_of,
    stored_as,
    text_part,
    transformers_has,
)
from core.models.dense import TABLE, dense_spec, is_dense
from core.models.spec import ModelSpec, spec_from_json

Say = Callable[[str], None]
_ACTIVATION = ("hidden_act", "hidden_activation", "activation_function")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "kv_lora_rank")
# a worker that died without a word is not started anew at every look of the page
_AGAIN_S = 60.0
# what a model of the same shapes may say otherwise
_FREE = ("architectures", "max_position_embeddings")


class Uncounted(UserError):
    """The shapes are being counted, or can be: ask again in some seconds."""


def spec_of_config(
    config: Any, name: str = "", where: str = "", home: Home | None = None, say: Say | None = None
) -> ModelSpec:
    """The shapes that a config.json describes. `where` names the file in what is said to the user.

    Shapes that are not known at once are counted in a worker, whose results `home` keeps. Without `say` this
    only starts it and raises Uncounted; with it the person is told, and it is waited for.
    """
    where = where or (f"config.json of {name}" if name else "config.json")
    config = check_config(config, where)
    text = text_part(config)
    spec = _at_once(config, where)
    if spec is None and not transformers_has(str(config.get("model_type") or "")):
        spec = _guess(text, where)
    if spec is None:
        spec = _counted(config, where, home, say)
    return replace(
        spec,
        name=name,
        architecture=architecture_of(config),
        model_type=str(config.get("model_type") or spec.model_type),
        context=context_of(config),
        stored=stored_as(config),
        # only what the config itself says: other programs have their own function for a family
        activation=str(next((text[key] for key in _ACTIVATION if text.get(key)), "")),
    )


def _at_once(config: dict[str, Any], where: str) -> ModelSpec | None:
    """By the formula, or those of the catalogue's model with the same fields."""
    if is_dense(config):
        return dense_spec(Fields(config, where))
    shipped = _shipped()
    same = (model.id for model in load_catalogue() if model.id in shipped and _agrees(model.config, config))
    first = next(same, None)
    return spec_from_json(shipped[first]) if first else None


@cache
def _shipped() -> dict[str, Any]:
    return read_json(SHAPES, {})


def _agrees(entry: dict[str, Any], config: dict[str, Any]) -> bool:
    """Whether a config says all that the catalogue's does."""
    return all(
        _agrees(value, config[key])
        if isinstance(value, dict) and isinstance(config.get(key), dict)
        else value == config.get(key)
        for key, value in entry.items()
        if key not in _FREE
    )


def _guess(text: dict[str, Any], where: str) -> ModelSpec:
    """Something like Llama, where Transformers has no such type and the weights are not at hand."""
    kind = str(text.get("model_type") or "")
    try:
        if any(text.get(name) for name in _EXPERTS):
            raise UserError(f"{where} describes experts or an attention of its own.")
        return replace(dense_spec(Fields(text, where), TABLE["llama"]), exact=False)
    except UserError as error:
        raise UserError(
            f"{error} The type {kind} is not known here: give a folder or a hub id, whose weights tell it."
        ) from error


def _counted(config: dict[str, Any], where: str, home: Home | None, say: Say | None) -> ModelSpec:
    """What the worker has counted, now or before."""
    sentence = f"The shapes of {config['model_type']} models are counted by Transformers, once: some seconds."
    for path, value in config_values(config, where):
        if "layers" in path and type(value) is int and value > MOST_LAYERS:
            raise UserError(f"{where} has an impossible {path}: {value}.")
    if home is None:
        raise Uncounted(sentence)
    folder = home.root / "shapes" / _key(config)
    spec = _read(folder)
    if spec is not None:
        return spec
    state = read_job(folder)
    if state.status == "failed" or (state.status == "died" and say is None and _just_now(folder)):
        raise UserError(f"{where}: {state.message}")
    if not state.active:
        write_json(folder / "config.json", config)
        start_job(folder, "core.models.shapes_worker")
    if say is None:
        raise Uncounted(sentence)
    say(sentence)
    state = wait_job(folder)
    spec = _read(folder)
    if spec is None:
        raise UserError(f"{where}: {state.message or 'its shapes could not be counted.'}")
    return spec


def _key(config: dict[str, Any]) -> str:
    """Another config or another Transformers is counted anew."""
    try:
        library = version("transformers")
    except PackageNotFoundError:
        library = ""
    text = json.dumps([library, config], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(folder: Path) -> ModelSpec | None:
    try:
        values = read_json(folder / "shapes.json", None)
        return spec_from_json(values) if values else None
    except (UserError, OSError, ValueError):
        # damaged: counted anew
        return None


def _just_now(folder: Path) -> bool:
    return time.time() - (folder / "state.json").stat().st_mtime < _AGAIN_S
