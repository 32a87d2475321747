"""Looks at places that a person named: a disk that doesn't answer is given up, never waited for.

A call into a dead network folder can't be ended, only left behind, so each look has a thread of its own.
While one hangs no other is begun there; when it comes back, the place is asked again.
Standard library only: set-up imports this before anything is installed.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, Literal, TypeVar

from core.base.errors import UserError, disk_problem, path_words

PATIENCE_S = 4.0
Answer = TypeVar("Answer")
_hanging: dict[Future[Any], Path] = {}
_lock = threading.Lock()


def look(place: Path, work: Callable[[], Answer], patience_s: float | None = None) -> Answer:
    """What `work` finds at `place`; a UserError when that takes longer than anybody should wait."""
    answer: Future[Answer] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # raised again where it is waited for
            answer.set_exception(error)
        with _lock:
            _hanging.pop(answer, None)

    with _lock:
        if place in _hanging.values():
            raise UserError(_no_answer(place))
    threading.Thread(target=run, name=f"look at {place}", daemon=True).start()
    wait([answer], PATIENCE_S if patience_s is None else patience_s)
    with _lock:
        if not answer.done():
            _hanging[answer] = place
            raise UserError(_no_answer(place))
    return answer.result()


def _no_answer(place: Path) -> str:
    return f"{place} doesn't answer in time: its disk is slow or gone. Check it, or choose another place."


def kind_of(path: Path) -> Literal["", "file", "folder"]:
    """What stands at a path that was typed, nothing included. A UserError where that can't be found out."""
    try:
        return look(path, lambda: _kind_of(path))
    except (OSError, ValueError) as error:
        # ValueError: a zero byte in the name
        raise UserError(
            f"{path_words(path)} can't be read: {disk_problem(error)}. Check the path."
        ) from error


def _kind_of(path: Path) -> Literal["", "file", "folder"]:
    try:
        folder = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if folder and not os.access(path, os.R_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "Permission denied")
    return "folder" if folder else "file"
