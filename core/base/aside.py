"""Made aside, then renamed: temporary names that say whose they are, and a broom for those of the dead."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from itertools import count
from pathlib import Path

import psutil

_NAME = re.compile(r"\..+\.pid(\d+)\.aside$")
_numbers = count(1)
# names that this process gave: another of its threads may still write there
_given: set[str] = set()


def aside(path: Path) -> Path:
    """A new temporary path beside `path` that belongs to this process."""
    temporary = path.with_name(f".{path.name}.{next(_numbers)}.pid{os.getpid()}.aside")
    remove(temporary)
    _given.add(temporary.name)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    return temporary


def sweep(folder: Path) -> None:
    """Remove what killed processes left in `folder`, also one that had this process's number."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
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
