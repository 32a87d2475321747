"""CSV with any delimiter, read strictly: every row has the header's columns, every quote is closed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from core.base.errors import UserError
from core.data.read.formats import (
    LONGEST_FIELD,
    LONGEST_ROW,
    Block,
    Item,
    ReadyBlock,
    Row,
    TextFormat,
    Unreadable,
)
from core.data.read.head import SAYS_DELIMITER, Head
from core.data.read.header import Header, header_of

_QUOTES_HINT = "Double every quote inside a cell and close the cell with one."


class CsvTable(TextFormat):
    """A table with a header, its cells apart by a delimiter."""

    name, title, order = "csv", "CSV", 30
    help = "CSV and TSV with any delimiter"
    endings = (".csv", ".tsv", ".tab", ".psv")

    def __init__(self, delimiter: str = ",") -> None:
        self.delimiter = delimiter

    def match(self, head: Head) -> CsvTable | None:
        # text may hold commas; with a space behind each they are no delimiters
        if head.promised == "text" and (", " in head.lines[0] or not head.is_table):
            return None
        if head.delimiter is None and head.promised != self.name:
            return None
        return CsvTable(head.delimiter or ("\t" if head.ending in (".tsv", ".tab") else ","))

    def text_blocks(self, pieces: Iterable[tuple[int, bytes]], name: str) -> Iterator[Block]:
        """The file's records in blocks. Raises UserError for a header that is none and for a quote that is
        never closed, since nothing after it can be trusted.
        """
        header: Header | None = None
        held, line, some = "", 1, False
        for read, text, last in _whole_lines(pieces, name):
            text = held + text
            start = 0
            if header is None:
                header, start = _header(text, self.delimiter, name, last)
                line += _line_ends(text[:start])
                if header is not None and header.notes:
                    yield ReadyBlock(read, header.notes)
            if header is None:
                end = 0
            else:
                end = start + _records_end(text[start:], self.delimiter, line, name, last)
                if end > start:
                    some = True
                    yield CsvBlock(read, text[start:end], line, header.names, self.delimiter, name)
            line += _line_ends(text[start:end])
            held = text[end:]
        if not some:
            raise UserError(f"{name} has a header but no rows. Choose a file with at least one row.")


@dataclass(slots=True)
class CsvBlock:
    """Whole records as text, from the file's line `line` on."""

    read: int
    text: str
    line: int
    header: list[str]
    delimiter: str
    name: str

    def rows(self) -> Iterator[Item]:
        width = len(self.header)
        for line, cells, _ in _records(self.text, self.delimiter, self.line, self.name):
            where = f"line {line}"
            if isinstance(cells, str):
                yield Unreadable(where, cells)
            elif len(cells) != width:
                yield Unreadable(where, _ragged(len(cells), width))
            else:
                yield Row(dict(zip(self.header, cells)), where)


def _whole_lines(pieces: Iterable[tuple[int, bytes]], name: str) -> Iterator[tuple[int, str, bool]]:
    """(position on disk, text that ends with a line, whether it is the last)."""
    read, held = 0, b""
    for read, piece in pieces:
        end = max(piece.rfind(b"\n"), piece.rfind(b"\r")) + 1
        if end:
            yield read, (held + piece[:end]).decode("utf-8"), False
            held = b""
        held += piece[end:]
        if len(held) > LONGEST_ROW:
            raise UserError(
                f"{name} has a line of more than {LONGEST_ROW // 1024**2} MB, which is no table. "
                "Choose another file."
            )
    yield read, held.decode("utf-8"), True


def _line_ends(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def _records_end(text: str, delimiter: str, line: int, name: str, last: bool) -> int:
    """Where the last whole record of `text` ends; 0 if there is none."""
    if '"' not in text:
        # tabs alone are a row of empty cells where they are the delimiter
        return len(text) if text.strip() or delimiter in text else 0
    return max((end for _, _, end in _records(text, delimiter, line, name, last)), default=0)


def _records(
    text: str, delimiter: str, line: int, name: str, last: bool = True
) -> Iterator[tuple[int, list[str] | str, int]]:
    """(first line, cells or why they can't be read, where it ends) of each record; blank lines are skipped.

    A record that is still open where `text` ends is left out, unless nothing follows: then it never closes.
    """
    csv.field_size_limit(LONGEST_FIELD)
    file = io.StringIO(text, newline="")
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    lines = end = 0
    while True:
        try:
            for cells in reader:
                start, lines, end = lines, reader.line_num, file.tell()
                if len(cells) > 1 or (cells and cells[0].strip()):
                    yield line + start, cells, end
            return
        except csv.Error as error:
            if "end of data" in str(error) and not last:
                return
            untrusted = _untrusted(str(error), text[end : file.tell()], reader.line_num - lines)
            if untrusted:
                raise UserError(f"{name}, line {line + lines}: {untrusted}. {_QUOTES_HINT}") from error
            start, lines, end = lines, reader.line_num, file.tell()
            said = "has text after a closing quote" if "expected after" in str(error) else f"({error})"
            yield line + start, f"{said}; double every quote inside a cell", end


def _untrusted(said: str, record: str, lines: int) -> str:
    """Why nothing after a broken record can be trusted; “” where the next line surely begins another one."""
    if "end of data" in said:
        return "a quote is opened and never closed"
    if "field limit" in said:
        return f"a cell is longer than {LONGEST_FIELD // 1024**2} MB, or a quote is never closed"
    return "text stands after a closing quote" if lines != 1 or record.count('"') % 2 else ""


def _ragged(cells: int, columns: int) -> str:
    return (
        f"has {cells} cells where the header names {columns} columns; text with the delimiter or line breaks "
        "must stand in double quotes"
    )


def _header(text: str, delimiter: str, name: str, last: bool) -> tuple[Header | None, int]:
    """(the columns, where the rows begin); no columns where the text ends before them."""
    records = _records(text, delimiter, 1, name, last)
    line, cells, end = next(records, (1, [], 0))
    start = 0
    if SAYS_DELIMITER.match(text) and not isinstance(cells, str):
        start = end
        line, cells, end = next(records, (1, [], 0))
    if isinstance(cells, str):
        raise UserError(f"{name}, line {line} {cells}. It should be the header that names the columns.")
    if not cells:
        return None, 0
    if delimiter == "|" and not cells[0].strip():
        raise UserError(f"{name}, line {line} begins a table in Markdown. Export it as CSV.")
    header = header_of(cells, name, f"line {line}")
    return header, start if header.is_row else end
