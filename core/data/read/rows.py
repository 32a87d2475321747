"""What every reader gives: rows that know where they stood, and rows that can't be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

LONGEST_FIELD = 10 * 1024 * 1024
# a row is held whole; one with more than a few of the longest fields is no row of text
LONGEST_ROW = 4 * LONGEST_FIELD
BLOCK_BYTES = 1024 * 1024


@dataclass(slots=True)
class Row:
    """One record as it stood in the file: column → value, and its place (“line 12”, “record 3”)."""

    data: dict[str, Any]
    where: str


@dataclass(slots=True)
class Unreadable:
    """One row that can't be read: its place, and why in words that follow “line 12 ”."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Table:
    """The first rows as text, for a table on the page: one list of cells and one place per row."""

    columns: list[str]
    rows: list[list[str]]
    where: list[str]


class Block(Protocol):
    """About 1 MB of a file, not parsed yet: it can be sent to another process, and parsed there by `rows`.

    read: bytes of the file on disk that were read so far.
    """

    read: int

    def rows(self) -> Iterator[Row | Unreadable]: ...


@dataclass(slots=True)
class ReadyBlock:
    """Rows that were parsed already, because their file had to be looked at as a whole."""

    read: int
    items: list[Row | Unreadable]

    def rows(self) -> Iterator[Row | Unreadable]:
        return iter(self.items)


def line_ends(text: bytes) -> int:
    """How many lines end in `text`, by LF, CR or CRLF."""
    return text.count(b"\n") + (text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else 0)
