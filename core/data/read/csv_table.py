"""CSV with any delimiter, read strictly: every row has the header's columns, every quote is closed."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from core.base.errors import UserError
from core.data.read.rows import LONGEST_FIELD, LONGEST_ROW, Block, Row, Unreadable

_DELIMITERS = ",\t;|"
# the line that spreadsheets understand before the header: sep=;
_SAYS_DELIMITER = re.compile(r"""\s*sep=([^\w\s"']|\t)(?=[\r\n])""", re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\n|\r")
_ROWS_LOOKED_AT = 20
_LONGEST_NAME = 60
_QUOTES_HINT = "Double every quote inside a cell and close the cell with one."


@dataclass(slots=True)
class CsvBlock:
    """Whole records as text, from the file's line `line` on."""

    read: int
    text: str
    line: int
    header: list[str]
    delimiter: str
    name: str

    def rows(self) -> Iterator[Row | Unreadable]:
        width = len(self.header)
        for line, cells, _ in _records(self.text, self.delimiter, self.line, self.name):
            where = f"line {line}"
            if isinstance(cells, str):
                yield Unreadable(where, cells)
            elif len(cells) != width:
                yield Unreadable(where, _ragged(len(cells), width))
            else:
                yield Row(dict(zip(self.header, cells)), where)


def csv_blocks(pieces: Iterable[tuple[int, bytes]], name: str, delimiter: str) -> Iterator[Block]:
    """The file's records in blocks. Raises UserError for a header that is none and for a quote that is never
    closed, since nothing after it can be trusted.
    """
    header: list[str] = []
    held, line, some = "", 1, False
    for read, text, last in _whole_lines(pieces, name):
        text = held + text
        start = 0
        if not header:
            header, start = _header(text, delimiter, name, last)
            line += _line_ends(text[:start])
        end = start + _records_end(text[start:], delimiter, line, name, last) if header else 0
        if end > start:
            some = True
            yield CsvBlock(read, text[start:end], line, header, delimiter, name)
        line += _line_ends(text[start:end])
        held = text[end:]
    if not some:
        raise UserError(f"{name} has a header but no rows. Choose a file with at least one row.")


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


def _header(text: str, delimiter: str, name: str, last: bool) -> tuple[list[str], int]:
    """(names of the columns, where their line ends); no names where the text ends before them."""
    records = _records(text, delimiter, 1, name, last)
    line, cells, end = next(records, (1, [], 0))
    if _SAYS_DELIMITER.match(text) and not isinstance(cells, str):
        line, cells, end = next(records, (1, [], 0))
    if isinstance(cells, str):
        raise UserError(f"{name}, line {line} {cells}. It should be the header that names the columns.")
    header = [cell.strip() for cell in cells]
    if "" in header:
        raise UserError(
            f"{name}, line {line}: column {header.index('') + 1} has no name. Name it in the header."
        )
    twins = sorted(column for column, count in Counter(header).items() if count > 1)
    if twins:
        raise UserError(f"{name}, line {line}: the header names “{twins[0]}” twice. Rename one of them.")
    return header, end


def find_delimiter(start: str, whole: bool) -> str | None:
    """The delimiter of a table: what its first line says it is (sep=;), one that gives the first rows the
    same number of cells, or the one that stands most often in the header, outside quotes; None where the
    header has none.
    """
    said = _SAYS_DELIMITER.match(start)
    if said:
        return said[1]
    header = re.sub(r'"[^"]*"', "", _LINE_END.split(start.lstrip("\r\n"), maxsplit=1)[0])
    found = sorted((mark for mark in _DELIMITERS if mark in header), key=header.count, reverse=True)
    even = [mark for mark in found if _even_rows(start, mark, whole)]
    return (even or found or [None])[0]


def is_tabular(start: str, whole: bool) -> bool:
    """Whether text is surely a table: a header of short names and rows with just as many cells."""
    delimiter = find_delimiter(start, whole)
    rows = _even_rows(start, delimiter, whole) if delimiter else []
    if len(rows) < 2:
        return False
    names = rows[0]
    short = all(name.strip() and len(name) <= _LONGEST_NAME for name in names)
    return short and len(set(names)) == len(names)


def _even_rows(start: str, delimiter: str, whole: bool) -> list[list[str]]:
    """The first rows as `delimiter` cuts them; none of them if their numbers of cells differ."""
    lines = list(io.StringIO(start, newline=""))
    reader = csv.reader(iter(lines if whole else lines[:-1]), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    try:
        for row in islice(reader, _ROWS_LOOKED_AT):
            rows += [row] if row else []
    except csv.Error:
        # Where the look ends, a quoted cell may be cut; elsewhere this is no table by this delimiter.
        if whole:
            return []
    return rows if len({len(row) for row in rows}) == 1 else []
