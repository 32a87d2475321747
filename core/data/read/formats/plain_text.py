"""Plain text and Markdown as rows of one column, “text”, for training that continues texts.

Paragraphs (cut at blank lines) are put together, in order, as long as a row stays within 2,000 characters,
about what a small model sees at once; where the maximum length is less, training cuts them again
(`ChatTokenizer.windows`). A paragraph is broken only when it alone is longer: at a line end, a sentence's
end or a space. Line ends become LF, and the blank lines between two rows go; nothing else changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from core.data.read.breaks import text_break
from core.data.read.flow import BLOCK_BYTES
from core.data.read.formats import Block, Item, Row, TextFormat
from core.data.read.head import Head

_LONGEST = 2000


class PlainText(TextFormat):
    """Text to go on writing, and all that is nothing else."""

    name, title, order = "text", "plain text", 90
    help = "plain `.txt` or `.md` to go on writing"
    endings = (".txt", ".md", ".markdown", ".text", ".rst")
    prose = True

    def match(self, head: Head) -> PlainText:
        return self

    def text_blocks(self, pieces: Iterable[tuple[int, bytes]], name: str) -> Iterator[Block]:
        """The file's text in blocks that end between paragraphs, where there are any."""
        read, line, held = 0, 1, ""
        for read, piece in pieces:
            held += piece.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
            end = _block_end(held)
            if end:
                yield TextBlock(read, held[:end], line)
                line += held.count("\n", 0, end)
                held = held[end:]
        yield TextBlock(read, held, line)


@dataclass(slots=True)
class TextBlock:
    """Whole paragraphs, from the file's line `line` on; line ends are LF."""

    read: int
    text: str
    line: int

    def rows(self) -> Iterator[Item]:
        lines = self.text.split("\n")
        starts = [0, *accumulate(len(line) + 1 for line in lines)]
        begin = end = -1
        for first, last in _paragraphs(lines):
            if begin >= 0 and starts[last] - 1 - starts[begin] > _LONGEST:
                yield from self._broken_up(starts[begin], starts[end] - 1, begin)
                begin = -1
            begin, end = (first if begin < 0 else begin), last
        if begin >= 0:
            yield from self._broken_up(starts[begin], starts[end] - 1, begin)

    def _broken_up(self, start: int, end: int, index: int) -> Iterator[Row]:
        """One row, or several where a single paragraph is too long for one."""
        line = self.line + index
        while start < end:
            stop = end if end - start <= _LONGEST else text_break(self.text, start, start + _LONGEST)
            part = self.text[start:stop]
            if part.strip():
                yield Row({"text": part.rstrip()}, f"line {line}")
            line += part.count("\n")
            start = stop


def _paragraphs(lines: list[str]) -> Iterator[tuple[int, int]]:
    """(first line, line after the last) of each run of lines that are not blank."""
    first = -1
    for place, line in enumerate(lines):
        if line.strip():
            first = place if first < 0 else first
        elif first >= 0:
            yield first, place
            first = -1
    if first >= 0:
        yield first, len(lines)


def _block_end(held: str) -> int:
    """Where a block may end: between paragraphs; in a very long one at a line end, a space, or anywhere."""
    between = held.rfind("\n\n")
    if between >= 0:
        return between + 2
    if len(held) < 2 * BLOCK_BYTES:
        return 0
    return held.rfind("\n") + 1 or held.rfind(" ") + 1 or len(held)
