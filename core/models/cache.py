"""Models that huggingface_hub has downloaded before, for whatever program: its cache on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from core.base.errors import UserError
from core.models.folder import weight_files


def cache_folder() -> Path:
    """Where huggingface_hub keeps what it downloaded (its environment variables, in its order)."""
    for variable, below in (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub")):
        if os.environ.get(variable):
            return Path(os.environ[variable]).expanduser() / below
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "huggingface" / "hub"


def hf_cache_models() -> list[Path]:
    """Snapshots of complete models in the local Hugging Face cache, by name; the newest of each."""
    folders = sorted(cache_folder().glob("models--*--*"), key=lambda path: path.name.casefold())
    return [snapshot for folder in folders if (snapshot := _snapshot(folder)) is not None]


def cached_model(name: str) -> Path | None:
    """The snapshot of the hub id `name` in the Hugging Face cache, if it is complete."""
    return _snapshot(cache_folder() / f"models--{name.replace('/', '--')}")


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
