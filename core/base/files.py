"""Files and folders that are either old or new, never half: made aside, flushed, renamed. Hashes, safe paths.

Standard library only: set-up imports this before anything is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from core.base.errors import UserError, file_sentence

_WINDOWS_RETRIES = 10
_ASIDE = re.compile(r"\..+\.pid(\d+)\.aside$")
_numbers = count(1)
# names that this process gave: another of its threads may still write there
_given: set[str] = set()


def aside(path: Path) -> Path:
    """A new temporary path beside `path` that says whose it is: `sweep` removes those of dead processes."""
    temporary = path.with_name(f".{path.name}.{next(_numbers)}.pid{os.getpid()}.aside")
    remove(temporary)
    _given.add(temporary.name)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    return temporary


def _never(path: Path) -> bool:
    return False


@contextmanager
def replacement(target: Path, keep: Callable[[Path], bool] = _never, flush: bool = True) -> Iterator[Path]:
    """`with replacement(target) as path:` make a file or a folder at `path`; then it becomes `target`.

    An error in the block leaves what was there, and nothing half. `keep` and `flush` are those of `replace`.
    """
    temporary = aside(target)
    try:
        yield temporary
        replace(temporary, target, keep, flush)
    finally:
        # a rename onto another link of the same file leaves the temporary name behind
        remove(temporary)


def replace(source: Path, target: Path, keep: Callable[[Path], bool] = _never, flush: bool = True) -> None:
    """Give the finished file or folder `source` the name `target`; what had that name goes.

    `keep` is asked about a folder that is there already, perhaps from another process: where it is as good,
    `source` goes. Without `flush` a power cut may leave a half one: for what can be made again.
    """
    if flush:
        _flush(source)
    _move(source, target, keep)
    if flush:
        _fsync_folder(target.parent)


def _move(source: Path, target: Path, keep: Callable[[Path], bool]) -> None:
    if not (source.is_dir() and target.is_dir()) or target.is_symlink():
        try:
            return _rename(source, target)
        except OSError:
            # another process may have put a folder there meanwhile
            if not (source.is_dir() and target.is_dir()):
                raise
    if keep(target):
        return remove(source)
    older = aside(target)
    _rename(target, older)
    try:
        _rename(source, target)
    except OSError:
        _rename(older, target)
        raise
    remove(older)


def _rename(source: Path, target: Path) -> None:
    """`os.replace` that waits out a reader: Windows refuses to replace a file that someone has open."""
    for attempt in range(_WINDOWS_RETRIES):
        try:
            return os.replace(source, target)
        except PermissionError:
            if sys.platform != "win32" or attempt == _WINDOWS_RETRIES - 1:
                raise
            time.sleep(0.02 * (attempt + 1))


def sweep(folder: Path) -> None:
    """Remove what killed processes left in `folder`, also one that had this process's number."""
    # set-up, which has no psutil yet, only writes
    import psutil

    if not folder.is_dir():
        return
    for path in folder.iterdir():
        match = _ASIDE.fullmatch(path.name)
        if not match or path.name in _given:
            continue
        if int(match[1]) == os.getpid() or not psutil.pid_exists(int(match[1])):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    _given.discard(path.name)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _flush(path: Path) -> None:
    """Everything in a file or a folder onto the disk: a name must not outlive its content at a power cut."""
    if path.is_dir():
        for inner in path.iterdir():
            _flush(inner)
        return _fsync_folder(path)
    # only Windows wants to write for it
    with open(path, "rb+" if sys.platform == "win32" else "rb") as file:
        os.fsync(file.fileno())


def _fsync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut. Windows has no such call and needs none."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, data: str | bytes) -> None:
    """Replace `path` by `data`. A crash leaves the old file."""
    with replacement(path, flush=False) as temporary:
        temporary.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
        _flush(temporary)


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
    """The JSON value in `path`; `default` when there is no such file.

    A damaged file, or something else that stands there, is a UserError.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return default
    except OSError as error:
        raise UserError(file_sentence(error) or f"{path} can't be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}). Move it away, then try again.") from error


def start_of(path: Path, most: int = 256) -> str:
    """The first `most` bytes of a file that the kernel makes, without the space around them. Such files
    vanish and forbid as it likes: an unreadable one is empty."""
    try:
        with open(path, "rb") as file:
            return file.read(most).decode("utf-8", "replace").strip("\0 \n")
    except OSError:
        return ""


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, in hex, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def inside(folder: Path, path: str | Path) -> Path:
    """`path` (relative ones are taken from `folder`) resolved; a UserError if it leaves `folder`."""
    resolved = (folder / path).resolve()
    if not resolved.is_relative_to(folder.resolve()):
        raise UserError(f"“{path}” lies outside {folder}. Choose something inside that folder.")
    return resolved
