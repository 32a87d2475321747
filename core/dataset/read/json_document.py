"""One JSON document of any size: its records are found without holding the whole of it.

A list is cut into its elements by counting brackets outside of strings, and each element is then parsed
strictly. `{"data": […]}` is such a list with something around it. Only a document of another form (a dict of
columns, one object alone, a list under an unusual name) is read as a whole, up to a limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from core.dataset.read.json_lines import not_an_object, record
from core.dataset.read.json_values import parse_strict
from core.dataset.read.rows import (
    LONGEST_ROW,
    Block,
    ReadyBlock,
    Row,
    Unreadable,
    line_ends,
)
from core.errors import UserError

_ROW_LISTS = ("data", "rows", "train", "examples", "items", "records", "samples", "instances", "questions")
_TURN_KEYS = {"role", "from", "speaker"}
_WHOLE = 64 * 1024**2
_ROWS_A_BLOCK = 1000
# up to the next bracket outside of strings; stops at the quote of a string that is not closed yet
_TO_BRACKET = re.compile(rb'[^"\[\]{}]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^"\[\]{}]*)*', re.DOTALL)
_SCALAR = re.compile(rb'\s*,?\s*(?:"[^"\\]*(?:\\.[^"\\]*)*"|[^\s,"\[\]{}]+)', re.DOTALL)
_LIST_UNDER_NAME = re.compile(rb'"(?:' + "|".join(_ROW_LISTS).encode() + rb')"\s*:\s*$')


@dataclass(slots=True)
class ElementsBlock:
    """Some elements of a list, with the commas between them, from record `first` and line `line` on."""

    read: int
    raw: bytes
    ends: list[int]
    first: int
    line: int
    name: str

    def rows(self) -> Iterator[Row | Unreadable]:
        start = 0
        for number, end in enumerate(self.ends, start=self.first):
            raw = self.raw[start:end]
            element = _without_comma(raw)
            if element is None or (number == 1) != (element[0] == 0):
                raise self._broken(
                    start + len(raw) - len(raw.lstrip()),
                    "a comma is missing or stands twice between two records",
                )
            yield self._record(raw[element[1] :], start + element[1], number)
            start = end

    def _record(self, raw: bytes, start: int, number: int) -> Row | Unreadable:
        row = record(raw, f"record {number}")
        if isinstance(row, Row):
            return row
        try:
            orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            # Half a character pair or too many levels spoil one record; bad syntax spoils the document.
            if "surrogate" not in error.msg and "depth" not in error.msg:
                place = start + len(raw.decode("utf-8", "replace")[: error.pos].encode("utf-8"))
                raise self._broken(place, f"record {number} {row.reason}") from None
        return row

    def _broken(self, place: int, reason: str) -> UserError:
        line = self.line + line_ends(self.raw[:place])
        return UserError(f"{self.name}, line {line}: {reason}. Correct the file there.")


def _without_comma(raw: bytes) -> tuple[int, int] | None:
    """(commas, start of the value) of an element; None if there is more than one comma."""
    found = re.match(rb"\s*(,?)\s*", raw)
    start = found.end() if found else 0
    return None if raw.startswith(b",", start) else (len(found[1]) if found else 0, start)


def document_blocks(pieces: Iterable[tuple[int, bytes]], name: str) -> Iterator[Block]:
    """The document's records in blocks. Raises UserError where the document as such is broken."""
    window = _Window(pieces, name)
    window.skip_space()
    if window.raw.startswith(b"["):
        yield from _list_blocks(window, b"")
        return
    start = _find_list(window)
    if start is not None:
        before = window.take(start)
        yield from _list_blocks(window, before)
        return
    while window.more():
        if len(window.raw) > _WHOLE:
            raise UserError(
                f"{name} is one JSON object of more than {_WHOLE // 1024**2} MB, too much to hold. "
                "Write one row a line (JSONL), or a list of rows."
            )
    rows = [_as_row(value, number) for number, value in enumerate(_records(window), start=1)]
    for begin in range(0, len(rows), _ROWS_A_BLOCK):
        yield ReadyBlock(window.read, rows[begin : begin + _ROWS_A_BLOCK])


class _Window:
    """The part of the document that is looked at: it grows at its end and is taken from its beginning."""

    def __init__(self, pieces: Iterable[tuple[int, bytes]], name: str) -> None:
        self._pieces = iter(pieces)
        self.name = name
        self.raw = b""
        self.read = 0
        self.line = 1

    def more(self) -> bool:
        """Read on; False at the end of the file."""
        for read, piece in self._pieces:
            if piece:
                self.read = read
                self.raw += piece
                return True
        return False

    def take(self, size: int) -> bytes:
        taken, self.raw = self.raw[:size], self.raw[size:]
        self.line += line_ends(taken)
        return taken

    def skip_space(self) -> None:
        while not self.raw.strip() and self.more():
            continue
        self.take(len(self.raw) - len(self.raw.lstrip()))

    def broken(self, reason: str) -> UserError:
        return UserError(f"{self.name}, line {self.line}: {reason}. Correct the file there.")


class _Scanner:
    """Where brackets stand outside of strings, from `position` on; `depth` counts the open ones."""

    def __init__(self, window: _Window, position: int = 0) -> None:
        self.window = window
        self.position = position
        self.depth = 0
        self._looked_at = 0  # bytes of a string that the window ended in

    def next_bracket(self) -> int:
        """The next bracket's byte, which `position` then stands after; 0 where the window ends before one."""
        raw = self.window.raw
        if self._looked_at and not self._end_string(raw):
            return 0
        found = _TO_BRACKET.match(raw, self.position)
        self.position = found.end() if found else self.position
        if self.position >= len(raw):
            return 0
        if raw[self.position] == 0x22:
            self._looked_at = len(raw) - self.position
            return 0
        bracket = raw[self.position]
        self.position += 1
        self.depth += 1 if bracket in b"[{" else -1
        return bracket

    def _end_string(self, raw: bytes) -> bool:
        """Go to the end of a string that began in an earlier look; its beginning isn't read again."""
        place = raw.find(b'"', self.position + self._looked_at)
        while place >= 0:
            before = raw[self.position + 1 : place]
            if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
                self.position, self._looked_at = place + 1, 0
                return True
            place = raw.find(b'"', place + 1)
        self._looked_at = len(raw) - self.position
        return False


def _list_blocks(window: _Window, before: bytes) -> Iterator[Block]:
    """The elements of the list that the window begins with; then what stands around it is checked."""
    window.raw = b" " + window.raw[1:]  # the list's own bracket; a space keeps every position
    scanner = _Scanner(window)
    ends: list[int] = []
    first = 1
    while scanner.depth >= 0:
        bracket = scanner.next_bracket()
        if scanner.depth == -1 or (scanner.depth == 1 and bracket in b"[{"):
            ends += _scalars(window.raw, ends[-1] if ends else 0, scanner.position - 1)
        elif bracket and scanner.depth == 0:
            ends.append(scanner.position)
        if ends and (len(window.raw) == scanner.position or not bracket or scanner.depth == -1):
            yield ElementsBlock(window.read, window.raw[: ends[-1]], ends, first, window.line, window.name)
            window.take(ends[-1])
            scanner.position -= ends[-1]
            first, ends = first + len(ends), []
        if not bracket:
            _go_on(window, first)
    _check_end(window, scanner.position, before, first)


def _scalars(raw: bytes, start: int, end: int) -> list[int]:
    """Where each value that is no list or object ends, between two that are."""
    ends = []
    while found := _SCALAR.match(raw, start, end):
        start = found.end()
        ends.append(start)
    return ends


def _go_on(window: _Window, number: int) -> None:
    """Read on inside of a list. Raises UserError where it ends, or where a record has no end."""
    if len(window.raw) <= LONGEST_ROW and window.more():
        return
    element = _without_comma(window.raw)
    rest = window.raw[element[1] :] if element else window.raw
    try:
        parse_strict(rest)
    except ValueError as error:
        if rest.strip() and len(window.raw) <= LONGEST_ROW:
            raise window.broken(f"record {number} {error}") from None
    if len(window.raw) > LONGEST_ROW:
        raise window.broken(f"record {number} is longer than {LONGEST_ROW // 1024**2} MB, or never ends")
    raise window.broken("the list is never closed: the file was cut off")


def _check_end(window: _Window, end: int, before: bytes, first: int) -> None:
    """What stands around a list: nothing but white space, or the rest of the object that it is part of."""
    left = window.take(end)[:-1]
    if left.strip():
        raise window.broken("a comma stands after the last record (a trailing comma is not JSON)")
    while len(window.raw) <= _WHOLE and window.more():
        continue
    try:
        parse_strict(before + b"[]" + window.raw)
    except ValueError as error:
        raise window.broken(f"what stands around the list of records {error}") from None
    if first == 1:
        raise UserError(f"{window.name} holds an empty list. Choose a file with at least one row.")


def _find_list(window: _Window) -> int | None:
    """Where the list of rows begins in an object like `{"data": […]}`; None if there is no such list."""
    scanner = _Scanner(window)
    while bracket := _grow_to_bracket(scanner):
        if scanner.depth == 0:
            return None
        start = scanner.position - 1
        named = bracket == 0x5B and scanner.depth == 2
        if named and _LIST_UNDER_NAME.search(window.raw, max(0, start - 60), start):
            return start if _begins_with_row(scanner) else None
    return None


def _begins_with_row(scanner: _Scanner) -> bool:
    """Whether the list that the scanner has just entered begins with a row, and not with a chat's turn."""
    start = scanner.position
    if _grow_to_bracket(scanner) != 0x7B or scanner.window.raw[start : scanner.position - 1].strip():
        return False
    start = scanner.position - 1
    while scanner.depth > 2:
        if not _grow_to_bracket(scanner):
            return False
    try:
        return not _TURN_KEYS & orjson.loads(scanner.window.raw[start : scanner.position]).keys()
    except (orjson.JSONDecodeError, AttributeError):
        return True  # reading it as a row will say what is wrong


def _grow_to_bracket(scanner: _Scanner) -> int:
    """The next bracket, reading on as far as a whole document may be long; 0 if there is none."""
    while True:
        if bracket := scanner.next_bracket():
            return bracket
        if len(scanner.window.raw) > _WHOLE or not scanner.window.more():
            return 0


def _as_row(value: Any, number: int) -> Row | Unreadable:
    where = f"record {number}"
    return Row(value, where) if isinstance(value, dict) else Unreadable(where, not_an_object(value))


def _records(window: _Window) -> list[Any]:
    """The records of a whole document: a list under a name, columns, rows under ids, or one object alone."""
    try:
        value = parse_strict(window.raw)
    except ValueError as error:
        window.line += _lines_before_fault(window.raw)
        raise window.broken(f"the document {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{window.name} is {not_an_object(value).removeprefix('is ')}.")
    for entry in value.values() if _is_wrapping(value) else ():
        if entry == []:
            raise UserError(f"{window.name} holds an empty list. Choose a file with at least one row.")
        if _is_row_list(entry):
            return entry
    columns = list(value.values())
    if columns and all(isinstance(column, list) and column and not _is_chat(column) for column in columns):
        return _rows_from_columns(value, window.name)
    if columns and all(_is_row_under_id(entry) for entry in columns):
        return columns
    return [value]


def _lines_before_fault(raw: bytes) -> int:
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return line_ends(raw.decode("utf-8")[: error.pos].encode("utf-8"))
    return 0


def _is_row_list(entry: Any) -> bool:
    """Whether it is a list of rows, and not the turns of one chat."""
    if not isinstance(entry, list) or not entry:
        return False
    return all(isinstance(item, dict) and not _TURN_KEYS & item.keys() for item in entry)


def _is_wrapping(value: dict[str, Any]) -> bool:
    """Whether an object holds one list and facts about it, rather than being a row itself."""
    kinds = [type(entry) for entry in value.values()]
    return kinds.count(list) == 1 and str not in kinds


def _is_row_under_id(entry: Any) -> bool:
    """Whether it could be one of the rows of `{"id 1": {…}, "id 2": {…}}`, rather than a message."""
    return isinstance(entry, dict) and bool(entry) and not _TURN_KEYS & entry.keys()


def _is_chat(column: list[Any]) -> bool:
    return isinstance(column[0], dict)


def _rows_from_columns(columns: dict[str, list[Any]], name: str) -> list[dict[str, Any]]:
    lengths = {key: len(column) for key, column in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{key[:40]} {length}" for key, length in lengths.items())
        raise UserError(f"{name}: its columns differ in length ({said}). Give every column one value a row.")
    return [dict(zip(columns, values)) for values in zip(*columns.values())]
