"""From what a person types (a folder, config.json, hub id, starter) to the model: its shapes, its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.home import STARTER, Home
from core.models.catalogue import catalogue_model
from core.models.config import check_config
from core.models.folder import (
    HUB_ID,
    cached_model,
    inspect_model,
    is_hub_id,
    model_folder,
    model_name,
    read_config,
    read_config_file,
    require_config,
    weight_files,
)
from core.models.headers import UNPACKED, Stored, safetensors_header, spec_of_headers, stored_in
from core.models.hub import read_remote
from core.models.shapes import Say, Uncounted, spec_of_config
from core.models.spec import ModelSpec
from core.models.starter import ensure_starter

STARTER_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"


def find_spec(home: Home, text: str, say: Say | None = None) -> ModelSpec:
    """The shapes of what `text` names: "starter", a folder, a config.json, a hub id.

    A hub id is looked for in the home folder, the Hugging Face cache, the catalogue, and then on the hub.
    `say` as in `spec_of_config`: with it, shapes that have to be counted first are waited for.
    """
    text = text.strip()
    if text == STARTER:
        folder = model_folder(home, STARTER)
        spec = (
            spec_of_folder(home, folder) if (folder / "config.json").is_file() else _in_catalogue(STARTER_ID)
        )
        return replace(spec, name=STARTER_ID.partition("/")[2])
    path = _existing(text)
    if path is not None:
        return spec_of_folder(home, path, say) if path.is_dir() else _of_file(home, path, say)
    if not HUB_ID.fullmatch(text):
        raise UserError(
            f"There is no model “{text[:80]}”. Give a folder, a config.json or a hub id like Qwen/Qwen3-0.6B."
        )
    return _of_id(home, text, say)


def _existing(text: str) -> Path | None:
    """The file or folder that `text` names; None where it names none, or can't be a path at all."""
    try:
        path = Path(text).expanduser()
        return path if text and path.exists() else None
    except (OSError, RuntimeError, ValueError):
        # too long, a home of nobody, a zero byte
        return None


def _of_id(home: Home, name: str, say: Say | None) -> ModelSpec:
    downloaded = model_folder(home, name)
    here = downloaded if downloaded.is_dir() else cached_model(name)
    if here is not None:
        return replace(spec_of_folder(home, here, say), name=name)
    try:
        return _in_catalogue(name)
    except UserError as unknown:
        try:
            return spec_of_hub(home, name, say)
        except Uncounted:
            raise
        except UserError as error:
            raise UserError(f"{error} {unknown}") from error


def _in_catalogue(name: str) -> ModelSpec:
    model = catalogue_model(name)
    return spec_of_config(model.config, model.id, f"The catalogue's entry of {model.id}")


def resolve_model(home: Home, name: str) -> Path:
    """The folder of a model that is here, checked; the starter is built on first use.

    A hub id must have been downloaded before, by `core.models.download` or into the Hugging Face cache;
    otherwise a UserError says so.
    """
    if name == STARTER:
        return ensure_starter(home)
    folder = model_folder(home, name)
    if is_hub_id(name) and not folder.is_dir():
        cached = cached_model(name)
        if cached is None:
            raise UserError(
                f"The model {name} is not on this machine yet. Download it in the Model step first."
            )
        folder = cached
    inspect_model(folder)
    return folder


def _of_file(home: Home, path: Path, say: Say | None) -> ModelSpec:
    """The shapes that one config.json describes, without weights."""
    if path.suffix != ".json":
        require_config(path)
    return spec_of_config(read_config_file(path), path.resolve().parent.name, str(path), home, say)


def spec_of_folder(home: Home, folder: Path, say: Say | None = None) -> ModelSpec:
    """The shapes of a model folder; with weights in it also their size and what they hold."""
    require_config(folder)
    config = read_config(folder)
    where = str(folder / "config.json")
    if not any(folder.glob("*.safetensors*")):
        return spec_of_config(config, model_name(folder), where, home, say)
    headers = [safetensors_header(file) for file in weight_files(folder)]
    return _with_weights(config, headers, model_name(folder), where, home, say)


def spec_of_hub(home: Home, name: str, say: Say | None = None) -> ModelSpec:
    """The shapes of a model on the hub: its config and the headers of its weights, not the weights."""
    config, headers = read_remote(name)
    return _with_weights(config, headers, name, f"config.json of {name}", home, say)


def _with_weights(
    config: dict[str, Any],
    headers: list[dict[str, Any]],
    name: str,
    where: str,
    home: Home,
    say: Say | None,
) -> ModelSpec:
    """A config's shapes with what the weights' headers add; from the headers alone for unknown types."""
    quantization = config.get("quantization_config")
    bits = quantization.get("bits") if isinstance(quantization, dict) else None
    bits = bits if bits in (2, 3, 4, 8) else 4
    try:
        spec, problem = spec_of_config(config, name, where, home, say), None
    except Uncounted:
        raise
    except UserError as error:
        # what is no data is refused; where only fields are missing the headers have the shapes
        check_config(config, where)
        spec, problem = None, error
    if spec is not None and spec.exact:
        stored = stored_in(headers, spec.tied, bits, spec.layers)
        spec = _as_counted(spec, stored, config, where)
    else:
        stored = stored_in(headers, bool(config.get("tie_word_embeddings")), bits)
        spec = spec_of_headers(config, stored, name, where) or spec
    if spec is None:
        raise problem or UserError(f"{where} doesn't tell the model's shapes. Get the model again.")
    return replace(spec, file_bytes=stored.bytes, stored=stored.kind)


def _as_counted(spec: ModelSpec, stored: Stored, config: dict[str, Any], where: str) -> ModelSpec:
    """The headers have the last word on the count, where they show it: another vocabulary, more parts."""
    more = stored.parameters - spec.parameters
    if not more or stored.kind not in UNPACKED:
        return spec
    if stored.parameters < spec.linear_parameters + spec.embedding:
        return spec_of_headers(config, stored, spec.name, where) or spec
    return replace(spec, parameters=stored.parameters, active=spec.active + more)
