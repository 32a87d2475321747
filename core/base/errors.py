"""The exceptions whose text is meant for the person at the screen: theirs to mend, or ours with a log."""

from __future__ import annotations

from pathlib import Path


class UserError(Exception):
    """Something the user can mend: says what happened, where (file, row, step) and what to do next.

    Caught once, at the edge: the page shows its sentence, a command prints it and exits with 2.
    """


def first_line(error: BaseException, most: int = 200) -> str:
    """What a library said, for a sentence of ours: its first line, at most so long; may be empty."""
    return str(error).strip().split("\n")[0][:most]


class WorkerFailed(Exception):
    """A worker ended through no fault of the user; `log` says more."""

    def __init__(self, message: str, log: Path) -> None:
        super().__init__(message)
        self.log = log
