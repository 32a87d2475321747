"""JSONL: one JSON object a line. A line that can't be read is told and the next one is read all the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import orjson

from core.data.read.flow import line_ends
from core.data.read.formats import LONGEST_ROW, Block, Item, ReadyBlock, TextFormat, Unreadable
from core.data.read.head import Head
from core.data.read.strict_json import long_field, records


class JsonLines(TextFormat):
    """One JSON object a line."""

    name, title, order = "jsonl", "JSONL", 10
    help = "JSONL"
    endings = (".jsonl", ".ndjson", ".jl")

    def match(self, head: Head) -> JsonLines | None:
        if head.begins_as_json:
            return self if _is_one_a_line(head.lines) else None
        # rows that are none, or a comment, stand in front
        may_be = head.promised == self.name and not head.is_table
        lines = [line.lstrip() for line in head.lines] if may_be else []
        return self if any(line.startswith("{") or _is_json(line) for line in lines) else None

    def text_blocks(self, pieces: Iterable[tuple[int, bytes]], name: str) -> Iterator[Block]:
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
                first = len(piece.splitlines(keepends=True)[0])
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


@dataclass(slots=True)
class LinesBlock:
    """Whole lines as they stand, from the file's line `line` on."""

    read: int
    raw: bytes
    line: int

    def rows(self) -> Iterator[Item]:
        # of bytes, `splitlines` splits at LF, CR and CRLF only
        for number, raw in enumerate(self.raw.splitlines(), start=self.line):
            if raw and not raw.isspace():
                yield from records(raw, f"line {number}")


def _too_long(read: int, line: int, size: int) -> ReadyBlock:
    return ReadyBlock(read, [Unreadable(f"line {line}", long_field(size))])


def _is_one_a_line(lines: list[str]) -> bool:
    """Whether each line is a JSON value of its own, judged by the first lines."""
    first, *more = lines
    more = [line for line in more if line.strip()]
    if not more:
        return False
    if _is_json(first) or (first[0] == "{" and _is_json(first.rstrip().rstrip(","))):
        return True
    # A broken first line of JSONL is still followed by whole objects; a document's first line is open.
    if first[0] == "[" or first.rstrip()[-1] in "{[,:":
        return False
    second = more[0].lstrip()
    return second.startswith("{") and (_is_json(second) or first.rstrip().endswith("}"))


def _is_json(line: str) -> bool:
    try:
        orjson.loads(line)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return False
    return True
