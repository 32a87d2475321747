"""JSONL: one JSON object a line. A line that can't be read is told and the next one is read all the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from core.data.read.json_values import long_field, parse_strict
from core.data.read.rows import LONGEST_ROW, Block, ReadyBlock, Row, Unreadable, line_ends


@dataclass(slots=True)
class LinesBlock:
    """Whole lines as they stand, from the file's line `line` on."""

    read: int
    raw: bytes
    line: int

    def rows(self) -> Iterator[Row | Unreadable]:
        # of bytes, `splitlines` splits at LF, CR and CRLF only
        for number, raw in enumerate(self.raw.splitlines(), start=self.line):
            if raw and not raw.isspace():
                yield record(raw, f"line {number}")


def record(raw: bytes, where: str) -> Row | Unreadable:
    """One JSON value as a row."""
    try:
        value = parse_strict(raw)
    except ValueError as error:
        return Unreadable(where, str(error))
    return Row(value, where) if type(value) is dict else Unreadable(where, not_an_object(value))


def not_an_object(value: Any) -> str:
    kind = "a list" if isinstance(value, list) else "null" if value is None else "a single value"
    return f'is {kind}, not an object with named columns like {{"question": "…", "answer": "…"}}'


def lines_blocks(pieces: Iterable[tuple[int, bytes]]) -> Iterator[Block]:
    """The file's lines in blocks; an endless line is skipped and told as one unreadable row."""
    read, line, held = 0, 1, bytearray()
    skipped = 0
    for read, piece in pieces:
        end = max(piece.rfind(b"\n"), piece.rfind(b"\r")) + 1
        if not end:
            held += piece
            if skipped or len(held) > LONGEST_ROW:
                skipped += len(held)
                held.clear()
            continue
        if skipped:
            first = _first_end(piece)
            yield _too_long(read, line, skipped + first)
            line, skipped = line + 1, 0
            block, held = piece[first:end], bytearray(piece[end:])
        else:
            block, held = bytes(held + piece[:end]), bytearray(piece[end:])
        yield LinesBlock(read, block, line)
        line += line_ends(block)
    if skipped:
        yield _too_long(read, line, skipped + len(held))
    elif held:
        yield LinesBlock(read, bytes(held), line)


def _first_end(piece: bytes) -> int:
    """Where the first line of `piece` ends, its line end included."""
    return len(piece.splitlines(keepends=True)[0])


def _too_long(read: int, line: int, size: int) -> ReadyBlock:
    return ReadyBlock(read, [Unreadable(f"line {line}", long_field(size))])
