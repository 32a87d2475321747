"""Errors meant for the person at the screen, and the usual troubles of disk and memory in words.

Standard library only: set-up imports this before anything is installed.
"""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class UserError(Exception):
    """Something the user can mend: says what happened, where (file, row, step) and what to do next.

    Caught once, at the edge: the page shows its sentence, a command prints it and exits with 2.
    """


class Stopped(Exception):
    """Somebody asked for the work to end before it had anything to keep: a worker then ends well."""


class WorkerFailed(Exception):
    """A worker ended through no fault of the user; `log` says more."""

    def __init__(self, message: str, log: Path) -> None:
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class Trouble:
    """Something that any work with files may meet: its error numbers or the words of libraries that hide
    them, the problem as a clause, and the remedy without its full stop."""

    numbers: tuple[int, ...]
    words: tuple[str, ...]
    problem: str
    remedy: str


_FULL = Trouble((errno.ENOSPC,), ("No space left",), "the disk is full", "Free some space")
_DISK_TROUBLES = (
    _FULL,
    Trouble(
        (getattr(errno, "EDQUOT", -1),),
        ("Disk quota exceeded",),
        "what you may use of the disk is used up",
        "Free some space",
    ),
    Trouble((errno.EROFS,), ("Read-only file system",), "the disk is read-only", "Choose another folder"),
    Trouble(
        (errno.EACCES, errno.EPERM),
        ("Permission denied",),
        "permission was denied",
        "Close programs that have it open, or choose a folder that you may write to",
    ),
    Trouble((errno.EIO,), (), "the disk reports a fault of its own", "Check the disk"),
    Trouble((errno.EFBIG,), (), "the disk takes no file so large", "Choose a folder on another disk"),
    Trouble((errno.ENAMETOOLONG,), (), "its name is too long for the disk", "Choose a shorter one"),
    Trouble((errno.EISDIR,), (), "a folder stands where a file belongs", "Move it away"),
    Trouble(
        (errno.ENOTDIR, errno.EEXIST), (), "a file stands where a folder belongs", "Move it away or rename it"
    ),
    Trouble((errno.ELOOP,), (), "it is a link that leads to itself", "Remove it"),
    Trouble((errno.ENOENT,), (), "it is not there", "Look whether it was moved or deleted"),
)
# how torch, safetensors and their kin say that a file could not be written; the second is what torch.save
# says on a full disk: “unexpected pos 41408 vs 41296”
_LIBRARY_WORDS = ("os error", "inline_container", "PytorchStreamWriter")
# a write that fails with less free than this failed for want of room
_NEARLY_NOTHING = 16 << 20


def first_line(error: BaseException, most: int = 200) -> str:
    """What a library said, for a sentence of ours: its first line, at most so long; may be empty."""
    return str(error).strip().split("\n")[0][:most]


def is_disk_trouble(error: BaseException) -> bool:
    """Whether a file could not be read or written; some libraries raise their own kinds of error for it."""
    return isinstance(error, OSError) or any(word in str(error) for word in _LIBRARY_WORDS)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's, torch's on the CPU, or the GPU's."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def disk_trouble(error: BaseException, folder: Path | None = None) -> Trouble | None:
    """Which of the usual troubles with files this error is; None for any other.

    Where the error does not say it, the room left on the disk of `folder` decides.
    """
    number, text = getattr(error, "errno", None), str(error)
    for trouble in _DISK_TROUBLES:
        if number in trouble.numbers or any(word in text for word in trouble.words):
            return trouble
    full = number is None and folder is not None and disk_free(folder) < _NEARLY_NOTHING
    return _FULL if full else None


def disk_problem(error: BaseException, folder: Path | None = None) -> str:
    """What hindered the writing to `folder`, as a clause."""
    trouble = disk_trouble(error, folder)
    return trouble.problem if trouble else getattr(error, "strerror", None) or first_line(error)


def disk_sentence(error: BaseException, what: str, folder: Path | None, then: str = "") -> str:
    """`what` failed for trouble with files in `folder`: why, and what to do, which ends with `then`.

    `disk_sentence(error, "The run could not be written", home.runs, "start again")` → “The run could not be
    written to /home/a/runs: the disk is full. Free some space, then start again.”
    """
    trouble = disk_trouble(error, folder)
    remedy = trouble.remedy if trouble else "Look at the disk and the folder"
    where = f" to {folder}" if folder else ""
    return f"{what}{where}: {disk_problem(error, folder)}. {remedy}{', then ' + then if then else ''}."


def file_sentence(error: BaseException) -> str:
    """The sentence of any trouble with a file that nobody put into better words; empty for other errors.

    What stands where it should not, or can't be read, is nobody's mistake in the code: every edge of the app
    asks this before it speaks of an unexpected error.
    """
    if not isinstance(error, OSError) or error.filename is None:
        return ""
    trouble = disk_trouble(error)
    if trouble is None:
        return ""
    return f"{path_words(error.filename)}: {trouble.problem}. {trouble.remedy}, then try again."


def path_words(path: Any) -> str:
    """A path for a sentence; of a very long one its beginning and its end."""
    text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else "A file"
    return text if len(text) <= 200 else f"{text[:80]}…{text[-40:]}"


def disk_free(folder: Path) -> int:
    """Free bytes of the disk on which `folder` lies or will lie."""
    place = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(place).free
