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

import numpy as np
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
_SCALAR = re.compile(rb'\s*,?\s*(?:"[^"\\]*(?:\\.[^"\\]*)*"|[^\s,"\[\]{}]+)', re.DOTALL)
_LIST_UNDER_NAME = re.compile(rb'"(?:' + "|".join(_ROW_LISTS).encode() + rb')"\s*:\s*$')

# by byte: whether it is a quote or a bracket, and how a bracket changes the depth
_STEPS = np.zeros(256, np.int64)
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1
_MARKS = _STEPS != 0
_MARKS[ord('"')] = True


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

    def broken(self, reason: str) -> UserError:
        return UserError(f"{self.name}, line {self.line}: {reason}. Correct the file there.")


def _brackets(raw: bytes) -> tuple[np.ndarray, np.ndarray]:
    """(place of each bracket outside of strings, how many are open after it); `raw` begins outside of one."""
    # what a backslash hides goes, in place: first pairs of them, then those before a quote
    codes = np.frombuffer(raw.replace(b"\\\\", b"__").replace(b'\\"', b"__"), np.uint8)
    marks = np.flatnonzero(_MARKS[codes])
    steps = _STEPS[codes[marks]]
    is_quote = steps == 0
    outside = ~is_quote & (np.cumsum(is_quote) % 2 == 0)
    return marks[outside], np.cumsum(steps[outside])


def _list_blocks(window: _Window, before: bytes) -> Iterator[Block]:
    """The elements of the list that the window begins with; then what stands around it is checked."""
    window.raw = b" " + window.raw[1:]  # the list's own bracket; a space keeps every position
    first = 1
    while True:
        ends, end = _elements(window.raw)
        if ends:
            yield ElementsBlock(window.read, window.raw[: ends[-1]], ends, first, window.line, window.name)
            first += len(ends)
            window.take(ends[-1])
        if end >= 0:
            _check_end(window, end - (ends[-1] if ends else 0), before, first)
            return
        if len(window.raw) > LONGEST_ROW or not window.more():
            raise _never_ends(window, first)


def _elements(raw: bytes) -> tuple[list[int], int]:
    """(where each whole element ends, where the list itself ends or -1)."""
    places, depths = _brackets(raw)
    closing = np.flatnonzero(depths < 0)
    close = int(places[closing[0]]) if len(closing) else -1
    inside = slice(0, closing[0] if len(closing) else None)
    places, depths = places[inside], depths[inside]
    stops = places[depths == 0].tolist()
    # each element's own first bracket: the one after an end
    starts = (
        places[np.flatnonzero(np.concatenate(([True], depths[:-1] == 0)))].tolist() if len(places) else []
    )
    ends: list[int] = []
    position = 0
    for start, stop in zip(starts, stops):
        if raw[position:start].strip() not in (b"", b","):
            ends += _scalars(raw, position, start)
        position = stop + 1
        ends.append(position)
    last = starts[len(stops)] if len(starts) > len(stops) else close
    if last >= 0:
        ends += _scalars(raw, position, last)
    return ends, close


def _scalars(raw: bytes, start: int, end: int) -> list[int]:
    """Where each value that is no list or object ends, between two that are."""
    ends = []
    while found := _SCALAR.match(raw, start, end):
        start = found.end()
        ends.append(start)
    return ends


def _never_ends(window: _Window, number: int) -> UserError:
    """Why the list stops in its middle: a record that is broken, too long, or cut off with the file."""
    if len(window.raw) > LONGEST_ROW:
        return window.broken(f"record {number} is longer than {LONGEST_ROW // 1024**2} MB, or never ends")
    element = _without_comma(window.raw)
    rest = window.raw[element[1] :] if element else window.raw
    try:
        parse_strict(rest)
    except ValueError as error:
        if rest.strip():
            return window.broken(f"record {number} {error}")
    return window.broken("the list is never closed: the file was cut off")


def _check_end(window: _Window, end: int, before: bytes, first: int) -> None:
    """What stands around a list: nothing but white space, or the rest of the object that it is part of."""
    left = window.take(end + 1)[:-1]
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
    while True:
        places, depths = _brackets(window.raw)
        for index in np.flatnonzero(depths == 2).tolist():
            place = int(places[index])
            if window.raw[place] == 0x5B and _LIST_UNDER_NAME.search(window.raw, max(0, place - 60), place):
                ends, close = _elements(window.raw[place + 1 :])
                if ends and _is_row(window.raw[place + 1 : place + 1 + ends[0]]):
                    return place
                if ends or close >= 0:
                    return None
        if (depths == 0).any() or len(window.raw) > _WHOLE or not window.more():
            return None


def _is_row(raw: bytes) -> bool:
    """Whether a list's first element is a row, and not the turn of a chat."""
    try:
        return not _TURN_KEYS & orjson.loads(raw).keys()
    except orjson.JSONDecodeError:
        return raw.lstrip().startswith(b"{")  # reading it as a row will say what is wrong
    except AttributeError:
        return False


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
