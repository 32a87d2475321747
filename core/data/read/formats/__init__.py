"""The file formats that are read: one file each, one class each; its first lines say what a format is.

To read a further one, add a file with a subclass of `TextFormat`, or of `Format` where files aren't text. The
check, the page's upload, folders and downloads from the hub go by what it says of itself. Formats import
`flow`, `head`, `strict_json` and `json_list` beside this folder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from core.base.registry import registered
from core.data.read.flow import Flow, Note, utf8_pieces
from core.data.read.head import Head

LONGEST_FIELD = 10 * 1024 * 1024
# a row is held whole; one with more than a few of the longest fields is no row of text
LONGEST_ROW = 4 * LONGEST_FIELD


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


Item: TypeAlias = Row | Unreadable | Note


class Block(Protocol):
    """About 1 MB of a file, not parsed yet: it can be sent to another process, and parsed there by `rows`.

    read: bytes of the file on disk that were read so far.
    """

    read: int

    def rows(self) -> Iterator[Item]: ...


@dataclass(slots=True)
class ReadyBlock:
    """Rows that were parsed already, because their file had to be looked at as a whole."""

    read: int
    items: Sequence[Item]

    def rows(self) -> Iterator[Item]:
        return iter(self.items)


class Format(ABC):
    """One file format.

    name: as reports have it. title: as sentences list it. help: as the README lists it. order: in lists, and
    in which formats are asked whether a file is theirs. endings: of files that are usually in it. prose: such
    files are data only where a folder holds no other; beside data they tell about it.
    """

    name: str
    title: str
    help: str
    order: int
    endings: tuple[str, ...]
    prose = False

    @abstractmethod
    def match(self, head: Head) -> Format | None:
        """The format to read a file with that begins so, if it is this one: with what the beginning told.

        Raises UserError where it is this one and beyond reading.
        """

    @abstractmethod
    def blocks(self, flow: Flow, encoding: str) -> Iterator[Block]:
        """The file from its beginning, in order. UserError where nothing that follows can be trusted."""


class TextFormat(Format):
    """A format of text files, which are read as UTF-8 whatever they are written in."""

    def blocks(self, flow: Flow, encoding: str) -> Iterator[Block]:
        yield from self.text_blocks(utf8_pieces(flow, encoding), flow.path.name)
        if flow.notes:
            yield ReadyBlock(flow.position, flow.notes)

    @abstractmethod
    def text_blocks(self, pieces: Iterable[tuple[int, bytes]], name: str) -> Iterator[Block]:
        """The blocks of a text in pieces: (bytes on disk read so far, UTF-8). name: the file's."""


def all_formats() -> tuple[Format, ...]:
    """All formats in their order."""
    return registered(__name__, Format)  # pyright: ignore[reportAbstractUsage]
