"""Files that are either old or new, never half: atomic writes, hashes, paths that stay in their folder."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.base.errors import UserError

_WINDOWS_RETRIES = 10


def write_atomic(path: Path, data: str | bytes) -> None:
    """Replace `path` by `data`: a temporary file beside it, fsync, rename. A crash leaves the old file."""
    raw = data.encode("utf-8") if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def replace(source: Path, target: Path) -> None:
    """`os.replace` that waits out a reader: Windows refuses to replace a file that someone has open."""
    for attempt in range(_WINDOWS_RETRIES):
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if sys.platform != "win32" or attempt == _WINDOWS_RETRIES - 1:
                raise
            time.sleep(0.02 * (attempt + 1))


def link_or_copy(source: Path, target: Path) -> None:
    """A second name for `source`, which takes no room; a copy where the disk or the system gives none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path, default: Any = None) -> Any:
    """The JSON value in `path`; `default` when there is no such file. A damaged file is a UserError."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return default
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}). Move it away, then try again.") from error


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, in hex, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def fsync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut. Windows has no such call and needs none."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def inside(folder: Path, path: str | Path) -> Path:
    """`path` (relative ones are taken from `folder`) resolved; a UserError if it leaves `folder`."""
    resolved = (folder / path).resolve()
    if not resolved.is_relative_to(folder.resolve()):
        raise UserError(f"“{path}” lies outside {folder}. Choose something inside that folder.")
    return resolved
