"""Models on this machine, in the home, in Hugging Face's cache or anywhere: what each folder says."""

from __future__ import annotations

import codecs
import json
import os
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.home import STARTER, STARTER_NAME, Home
from core.base.looks import kind_of, look
from core.models.config import WEIGHTS, architecture_of, check_config, context_of
from core.models.gguf_header import read_header
from core.models.headers import safetensors_header, shard_names, stored_in

HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
_MAX_CONFIG = 4 << 20
# files of a folder that is no model's that are looked at for what it is instead
_LOOKED_AT = 1000
# an index has a line for each of some 100,000 tensors at most
MAX_JSON = 32 << 20
_SNAPSHOT = re.compile(r"models--(.+?)--(.+)")


@dataclass(frozen=True)
class ModelInfo:
    """What a model folder says of itself. `bytes` is the size of its weights on disk."""

    folder: Path
    name: str
    architecture: str
    parameters: int
    bytes: int
    context: int | None
    chat_template: bool

    @property
    def size(self) -> str:
        """The parameter count as people say it: 135M, 1.5B."""
        if self.parameters >= 1e9:
            return f"{self.parameters / 1e9:.1f}B"
        return f"{self.parameters / 1e6:.0f}M"


def model_folder(home: Home, name: str) -> Path:
    """Where the model called `name` lies, or would lie once it is built or downloaded.

    A UserError where it is a folder that can't be looked at.
    """
    if name == STARTER:
        return home.models / STARTER_NAME
    path = Path(os.path.expanduser(name))
    if kind_of(path) == "folder" or not HUB_ID.fullmatch(name):
        return path.resolve()
    return home.models / name.replace("/", "--")


def model_name(folder: Path) -> str:
    """What a model folder is called: its hub id, where the folder's name or the cache tells it."""
    cached = _SNAPSHOT.fullmatch(folder.parent.parent.name) if folder.parent.name == "snapshots" else None
    return "/".join(cached.groups()) if cached else folder.name.replace("--", "/", 1)


def is_hub_id(name: str) -> bool:
    """Whether `name` means a model on the hub: `owner/name`, and no such folder exists here."""
    return bool(HUB_ID.fullmatch(name)) and not Path(os.path.expanduser(name)).is_dir()


def inspect_model(folder: Path) -> ModelInfo:
    """Check a Hugging Face folder and read its shapes from config.json and the safetensors headers."""
    require_config(folder)
    config = read_config(folder)
    weights = weight_files(folder)
    if (folder / "adapter_config.json").is_file():
        # Transformers, PEFT and Unsloth then load the model that this file names
        raise UserError(f"{folder} holds an adapter beside the model. Move adapter_config.json out of it.")
    if not (folder / "tokenizer.json").is_file():
        raise UserError(f"{folder} has no tokenizer.json. Save the model again with its fast tokenizer.")
    tied = config.get("tie_word_embeddings") is True
    stored = stored_in([safetensors_header(file) for file in weights], tied)
    return ModelInfo(
        folder=folder,
        name=model_name(folder),
        architecture=architecture_of(config),
        parameters=stored.parameters,
        bytes=sum(file.stat().st_size for file in weights),
        context=context_of(config),
        chat_template=_has_template(folder),
    )


def require_config(folder: Path) -> None:
    """A UserError that says what stands in the place of a model folder, unless that has a config.json."""
    kind = kind_of(folder)
    if kind == "folder" and (folder / "config.json").is_file():
        return
    inside = islice(folder.iterdir(), _LOOKED_AT) if kind == "folder" else [folder]
    gguf = next((path for path in inside if path.suffix.lower() == ".gguf" and path.is_file()), None)
    if gguf is not None:
        raise UserError(
            f"{gguf.name} is a GGUF file, made for chatting: its weights are rounded and can't be trained. "
            f"Get {_original(gguf)} as safetensors, from the hub or the catalogue, and train that."
        )
    if kind == "file":
        raise UserError(f"{folder} is a file. Give the folder that holds the model's config.json.")
    if not kind:
        raise UserError(f"There is no folder {folder}. Give the folder that holds the model's config.json.")
    raise UserError(f"{folder} has no config.json: it is not a Hugging Face model folder.")


def _original(gguf: Path) -> str:
    """What the model was called before it became this file, as its header tells it."""
    try:
        facts = read_header(gguf).metadata
    except UserError:
        facts = {}
    names = ("general.base_model.0.repo_url", "general.source.repo_url", "general.source.url", "general.name")
    name = next((str(facts[name]) for name in names if facts.get(name)), "")
    return f"the original, {name.removeprefix('https://huggingface.co/')}," if name else "the original model"


def read_config(folder: Path) -> dict[str, Any]:
    """config.json with everything in it checked, before any library sees it."""
    where = str(folder / "config.json")
    config = check_config(read_config_file(folder / "config.json"), where)
    if not config.get("model_type") or not config.get("architectures"):
        missing = "model_type" if not config.get("model_type") else "architectures"
        raise UserError(f"{where} names no {missing}. Get the complete config.json.")
    raw = (folder / "config.json").read_bytes()
    if raw.startswith(codecs.BOM_UTF8) or b"\0" in raw:
        # read here, but not by the libraries that come next
        raise UserError(f"{where} is not plain UTF-8. Save it as UTF-8 without a byte order mark.")
    return config


def read_config_file(path: Path) -> Any:
    """What a config.json holds, not checked yet. A file far too large for one is not read."""
    if not path.is_file():
        require_config(path.parent)
    return _json(path, _MAX_CONFIG)


def _json(path: Path, most: int = MAX_JSON) -> Any:
    """What a JSON file of a model holds. One that is too large for what it should be is not read."""
    if path.stat().st_size > most:
        raise UserError(f"{path} is too large for a model's {path.name}. Get the model again.")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({str(error)[:99]}). Get the model again.") from error


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold the weights, in the index's order. Pickled weights are never opened."""
    single, index = (folder / name for name in WEIGHTS)
    files = [single]
    if index.is_file() and not single.is_file():
        files = [folder / name for name in shard_names(_json(index), str(index))] or files
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt*"))
        why = " Pickled weights (.bin, .pt) can run code and are not opened." if pickled else ""
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        lacking = ", ".join(missing[:3]) + more
        raise UserError(f"{folder} lacks {lacking}.{why} Get the model in safetensors format.")
    return files


def _has_template(folder: Path) -> bool:
    if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return True
    path = folder / "tokenizer_config.json"
    config = _json(path) if path.is_file() else {}
    return isinstance(config, dict) and bool(config.get("chat_template"))


def local_models(home: Home) -> list[Path]:
    """Model folders below `home/models`, by name."""
    return sorted(
        path.parent for path in home.models.glob("*/config.json") if not path.parent.name.startswith(".")
    )


def cache_folder() -> Path:
    """Where huggingface_hub keeps what it downloaded (its environment variables, in its order)."""
    for variable, below in (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub")):
        if os.environ.get(variable):
            return Path(os.environ[variable]).expanduser() / below
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "huggingface" / "hub"


def hf_cache_models() -> list[Path]:
    """Snapshots of complete models in the local Hugging Face cache, by name; the newest of each."""
    return _in_cache("models--*--*")


def cached_model(name: str) -> Path | None:
    """The snapshot of the hub id `name` in the Hugging Face cache, if it is complete."""
    return next(iter(_in_cache(f"models--{name.replace('/', '--')}")), None)


def _in_cache(pattern: str) -> list[Path]:
    """The snapshots of the models whose folders match; none where the cache can't be looked at."""
    cache = cache_folder()

    def snapshots() -> list[Path]:
        folders = sorted(cache.glob(pattern), key=lambda path: path.name.casefold())
        return [snapshot for folder in folders if (snapshot := _snapshot(folder)) is not None]

    try:
        return look(cache, snapshots)
    except (UserError, OSError):
        return []


def _snapshot(folder: Path) -> Path | None:
    """The revision that `main` means, else the newest one that has a config and safetensors."""
    snapshots = sorted(folder.glob("snapshots/*/config.json"), key=_changed, reverse=True)
    complete = [path.parent for path in snapshots if _complete(path.parent)]
    main = folder / "refs" / "main"
    revision = main.read_text(encoding="utf-8", errors="replace").strip() if main.is_file() else ""
    return next((path for path in complete if path.name == revision), complete[0] if complete else None)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        # a link whose file was cleaned away
        return 0.0


def _complete(folder: Path) -> bool:
    try:
        return bool(weight_files(folder))
    except (UserError, OSError):
        return False
