"""Made aside, then renamed: temporary names that say whose they are, and a broom for those of the dead."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

import psutil

_NAME = re.compile(r"\..+\.pid(\d+)\.aside$")


def aside(path: Path) -> Path:
    """A temporary path beside `path` that belongs to this process; an old one of that name is removed."""
    temporary = path.with_name(f".{path.name}.pid{os.getpid()}.aside")
    remove(temporary)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    return temporary


def sweep(folder: Path) -> None:
    """Remove what killed processes left in `folder`."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match and (int(match[1]) == os.getpid() or not psutil.pid_exists(int(match[1]))):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
