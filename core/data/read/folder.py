"""The files below a folder, within limits: a typed `~` or `/` is refused in a moment instead of being walked.

A data set that a person would choose stays far below them, so there is no walk that would have to be shown
or cancelled. A page asks for its folder again and again: what took a while is remembered for a while, and
what was refused as too much until somebody asks once more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path

from core.base.errors import UserError, disk_problem

MOST = 20_000
DEEPEST = 12
SECONDS = 2.0
# what file systems keep for themselves, often closed to everybody
_THEIR_OWN = ("lost+found", "$recycle.bin", "system volume information")
# a listing holds for so many times what it took: never more than a small part of the time goes into them
_HOLDS = 20
_REMEMBERED = 4


class _TooMuch(UserError):
    """One of the limits is passed."""


@dataclass(frozen=True)
class _Listing:
    """What a walk has found, or why it ended, and until when that holds."""

    files: list[Path]
    refusal: str
    until: float


_listings: dict[Path, _Listing] = {}


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, in the order of their names. Neither what is hidden nor links are entered.

    A UserError where there is too much, or where a part can't be read: data is never left out silently.
    """
    listing = _listings.get(folder)
    if listing is None or time.monotonic() > listing.until:
        listing = _listings[folder] = _list(folder)
        for older in list(_listings)[:-_REMEMBERED]:
            _listings.pop(older, None)
    if listing.refusal:
        raise UserError(listing.refusal)
    return listing.files


def list_again(folder: Path) -> None:
    """Somebody asks for this folder once more."""
    _listings.pop(folder, None)


def _list(folder: Path) -> _Listing:
    began = time.monotonic()
    files, refusal = [], ""
    try:
        files = list(_Walk(folder).files(folder, 0))
    except _TooMuch as error:
        return _Listing([], str(error), inf)
    except UserError as error:
        refusal = str(error)
    now = time.monotonic()
    return _Listing(files, refusal, now + _HOLDS * (now - began))


class _Walk:
    """One pass over a folder, with what it has left of the limits."""

    def __init__(self, root: Path) -> None:
        self.root, self.seen = root, 0
        self.end = time.monotonic() + SECONDS

    def files(self, folder: Path, depth: int) -> Iterator[Path]:
        if depth > DEEPEST:
            raise self._too_much(f"goes more than {DEEPEST} folders deep")
        for entry in self._entries(folder):
            if entry.name.startswith((".", "__")) or entry.name.lower() in _THEIR_OWN:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self.files(Path(entry.path), depth + 1)
            elif _is_file(entry):
                yield Path(entry.path)

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        entries: list[os.DirEntry[str]] = []
        try:
            with os.scandir(folder) as found:
                for entry in found:
                    self.seen += 1
                    if self.seen > MOST:
                        raise self._too_much(f"holds more than {MOST:,} files and folders")
                    if time.monotonic() > self.end:
                        raise self._too_much(f"could not be listed within {SECONDS:.0f} s")
                    entries.append(entry)
        except OSError as error:
            raise UserError(
                f"{folder} can't be read: {disk_problem(error)}. Choose a folder that is all yours to read."
            ) from error
        return sorted(entries, key=lambda entry: os.path.normcase(entry.name))

    def _too_much(self, what: str) -> _TooMuch:
        return _TooMuch(f"{self.root} {what}. Choose a folder with less below it, or the data file itself.")


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, also through a link. No pipe or device is, nor a link that leads to itself."""
    try:
        return entry.is_file()
    except OSError:
        return False
