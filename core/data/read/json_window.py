"""The part of a large JSON document that is looked at, and where the brackets in it stand."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from core.base.errors import UserError
from core.data.read.rows import line_ends

# by byte: whether it is a quote or a bracket, and how a bracket changes the depth
_STEPS = np.zeros(256, np.int64)
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1
_MARKS = _STEPS != 0
_MARKS[ord('"')] = True
# so many open brackets are no data; without an end to them the arrays below would fill the memory
_MOST_OPEN = 10_000


class TooDeep(Exception):
    """Far more brackets are opened than closed."""


class Window:
    """UTF-8 of a document: `raw` grows at its end by `more` and is taken from its beginning by `take`.

    read: bytes on disk read so far. line: the file's line that `raw` begins in.
    """

    def __init__(self, pieces: Iterable[tuple[int, bytes]], name: str) -> None:
        self._pieces = iter(pieces)
        self.name = name
        self.raw = b""
        self.read = 0
        self.line = 1

    def more(self) -> bool:
        """Read on, at least as much again; False at the end of the file."""
        wanted, found = max(1, len(self.raw)), []
        for read, piece in self._pieces:
            self.read = read
            found.append(piece)
            wanted -= len(piece)
            if wanted <= 0:
                break
        self.raw += b"".join(found)
        return any(found)

    def take(self, size: int) -> bytes:
        taken, self.raw = self.raw[:size], self.raw[size:]
        self.line += line_ends(taken)
        return taken

    def skip_space(self) -> None:
        while not self.raw.strip() and self.more():
            continue
        self.take(len(self.raw) - len(self.raw.lstrip()))

    def broken(self, reason: str, place: int = 0) -> UserError:
        line = self.line + line_ends(self.raw[:place])
        return UserError(f"{self.name}, line {line}: {reason}. Correct the file there.")


def brackets(raw: bytes) -> tuple[np.ndarray, np.ndarray]:
    """(place of each bracket outside of strings, how many are open after it); `raw` begins outside of one.

    Raises TooDeep.
    """
    # what a backslash hides goes, in place: first pairs of them, then those before a quote
    codes = np.frombuffer(raw.replace(b"\\\\", b"__").replace(b'\\"', b"__"), np.uint8)
    marks = np.flatnonzero(_MARKS[codes])
    steps = _STEPS[codes[marks]]
    is_quote = steps == 0
    outside = ~is_quote & (np.cumsum(is_quote) % 2 == 0)
    depths = np.cumsum(steps[outside])
    if depths.max(initial=0) > _MOST_OPEN:
        raise TooDeep
    return marks[outside], depths
