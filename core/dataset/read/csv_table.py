"""CSV with any delimiter, read strictly: every row has the header's columns, every quote is closed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from core.dataset.read.rows import BLOCK_BYTES, LONGEST_FIELD, Block, Row, Unreadable
from core.errors import UserError

_DELIMITERS = ",\t;|"
_LINE_END = re.compile(r"\r\n|\n|\r")
_ROWS_LOOKED_AT = 20
_LONGEST_NAME = 60
_CUT_HINT = "Double every quote inside a cell and close the cell with one."


@dataclass(slots=True)
class CsvBlock:
    """Whole records as text, from the file's line `line` on."""

    read: int
    text: str
    line: int
    header: list[str]
    delimiter: str

    def rows(self) -> Iterator[Row | Unreadable]:
        feed = _Feed(io.StringIO(self.text, newline=""))
        width = len(self.header)
        for line, cells in _records(feed, self.delimiter, self.line):
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
    position = _Position()
    feed = _Feed(_lines(pieces, position))
    records = _records(feed, delimiter, 1)
    try:
        header = _header(records, name)
        count, line = 0, feed.count + 1
        feed.taken.clear()
        for _ in records:
            count += 1
            if feed.characters > BLOCK_BYTES:
                yield CsvBlock(position.read, feed.take(), line, header, delimiter)
                line = feed.count + 1
        rest = feed.take()
        if rest.strip():
            yield CsvBlock(position.read, rest, line, header, delimiter)
    except _Untrusted as error:
        raise UserError(f"{name}, line {error.line}: {error}. {_CUT_HINT}") from error
    if not count:
        raise UserError(f"{name} has a header but no rows. Choose a file with at least one row.")


class _Untrusted(Exception):
    """A fault after which nothing can be trusted, and its line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


class _Position:
    """How much of the file on disk was read; the csv module pulls, so it can't be told along."""

    read = 0


class _Feed:
    """Lines on their way to the csv module, kept until `take`: it asks for a line only when it needs one."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.taken: list[str] = []
        self.count = 0
        self.characters = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.taken.append(line)
        self.count += 1
        self.characters += len(line)
        return line

    def take(self) -> str:
        text = "".join(self.taken)
        self.taken.clear()
        self.characters = 0
        return text


def _records(feed: _Feed, delimiter: str, line: int) -> Iterator[tuple[int, list[str] | str]]:
    """(first line, cells, or why they can't be read) of each record; blank lines are skipped."""
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        started = feed.count
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, _fault(error, feed, started, line)
        else:
            if len(cells) > 1 or (cells and cells[0].strip()):
                yield line, cells
        line += feed.count - started


def _fault(error: csv.Error, feed: _Feed, started: int, line: int) -> str:
    """Why one record can't be read, if the next line surely begins another one; else _Untrusted is raised."""
    said = str(error)
    if "end of data" in said:
        raise _Untrusted(line, "a quote is opened and never closed")
    if "field limit" in said:
        limit = LONGEST_FIELD // 1024**2
        raise _Untrusted(line, f"a cell is longer than {limit} MB, or a quote is never closed")
    if feed.count - started != 1 or feed.taken[-1].count('"') % 2:
        raise _Untrusted(line, "text stands after a closing quote")
    if "expected after" in said:
        return "has text after a closing quote; double every quote inside a cell"
    return f"can't be read ({said})"


def _ragged(cells: int, columns: int) -> str:
    return (
        f"has {cells} cells where the header names {columns} columns; text with the delimiter or line breaks "
        "must stand in double quotes"
    )


def _header(records: Iterator[tuple[int, list[str] | str]], name: str) -> list[str]:
    line, cells = next(records, (1, []))
    if isinstance(cells, str):
        raise UserError(f"{name}, line {line} {cells}. It should be the header that names the columns.")
    header = [cell.strip() for cell in cells]
    if "" in header:
        raise UserError(
            f"{name}, line {line}: column {header.index('') + 1} has no name. Name it in the header."
        )
    twins = sorted({column for column in header if header.count(column) > 1})
    if twins:
        raise UserError(f"{name}, line {line}: the header names “{twins[0]}” twice. Rename one of them.")
    return header


def _lines(pieces: Iterable[tuple[int, bytes]], position: _Position) -> Iterator[str]:
    """Whole lines with their ends, by LF, CR or CRLF and nothing else."""
    held: list[str] = []
    for read, piece in pieces:
        position.read = read
        for line in io.StringIO(piece.decode("utf-8"), newline=""):
            held.append(line)
            if line[-1] in "\r\n":
                yield "".join(held) if len(held) > 1 else line
                held.clear()
    if held:
        yield "".join(held)


def find_delimiter(start: str, whole: bool) -> str | None:
    """The delimiter of a table: one that gives the first rows the same number of cells, else the one that
    stands most often in the header, outside quotes; None where the header has none.
    """
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
    lines = start.splitlines(keepends=True)
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
