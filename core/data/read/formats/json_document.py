"""One JSON document: which of its values are the rows.

A list, `{"data": […]}` and a large object of rows under their ids are streamed. A document of another form (a
dict of columns, one object alone, a list under an unusual name) is read as a whole, up to a limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from core.base.errors import UserError
from core.data.read.flow import Note
from core.data.read.formats import Block, ReadyBlock, Row, TextFormat, Unreadable
from core.data.read.head import Head
from core.data.read.json_list import (
    TURN_KEYS,
    TooDeep,
    Window,
    brackets,
    elements,
    is_followed,
    is_row_list,
    list_blocks,
    loose_blocks,
)
from core.data.read.strict_json import mended, not_an_object, parse_strict, row_of

ROW_LISTS = ("data", "rows", "train", "examples", "items", "records", "samples", "instances", "questions")
_WHOLE = 64 * 1024**2
_LOOKED_AT = 4 * 1024**2
_ROWS_A_BLOCK = 1000
_LIST_UNDER_NAME = re.compile(rb'"(?:' + "|".join(ROW_LISTS).encode() + rb')"\s*:\s*$')
_KEY = re.compile(rb'\s*(?:,\s*)?"[^"\\]*(?:\\.[^"\\]*)*"\s*:\s*(?=\{)', re.DOTALL)


class JsonDocument(TextFormat):
    """A list of objects, or an object that holds the rows in one of several ways."""

    name, title, order = "json", "JSON", 20
    help = 'JSON (an array, `{"data": […]}`, a dict of columns, objects one after the other)'
    endings = (".json", ".geojson")

    def match(self, head: Head) -> JsonDocument | None:
        if head.begins_as_json:
            return self
        if not head.promises_json or head.is_table:
            return None
        lines = [line.lstrip() for line in head.lines]
        if any(line.startswith(("{", "[")) for line in lines):
            return self
        raise UserError(
            f"{head.name} is no JSON: it begins with “{lines[0][:40]}”. Choose the dataset itself, or name "
            "the file after what it holds (.csv, .txt)."
        )

    def text_blocks(self, pieces: Iterable[tuple[int, bytes]], name: str) -> Iterator[Block]:
        """The document's records in blocks. Raises UserError where the document as such is broken."""
        window = Window(pieces, name)
        try:
            yield from _blocks(window)
        except TooDeep:
            raise window.broken("thousands of brackets are opened and never closed") from None


def _blocks(window: Window) -> Iterator[Block]:
    window.skip_space()
    start = 0 if window.raw.startswith(b"[") else _find_list(window)
    if window.raw.startswith(b"{") and is_followed(window):
        yield from loose_blocks(window)
    elif start is not None:
        around = window.take(start)
        yield from list_blocks(window, around)
    elif _begins_with_rows_under_ids(window):
        yield from list_blocks(window)
    else:
        yield from _whole_blocks(window)


def _find_list(window: Window) -> int | None:
    """Where the list of rows begins in an object like `{"data": […]}`; None if there is no such list."""
    while True:
        places, depths = brackets(window.raw)
        for place in places[depths == 2].tolist():
            if window.raw[place] == 0x5B and _LIST_UNDER_NAME.search(window.raw, max(0, place - 60), place):
                ends, close = elements(window.raw[place + 1 :], keyed=False)
                if ends and is_row(window.raw[place + 1 : place + 1 + ends[0]]):
                    return place
                if ends or close >= 0:
                    return None
        if (depths == 0).any() or len(window.raw) > _LOOKED_AT or not window.more():
            return None


def is_row(raw: bytes) -> bool:
    """Whether a list's first element is a row, and not the turn of a chat."""
    try:
        return not TURN_KEYS & orjson.loads(raw).keys()
    except orjson.JSONDecodeError:
        return raw.lstrip().startswith(b"{")  # reading it as a row will say what is wrong
    except AttributeError:
        return False


def _begins_with_rows_under_ids(window: Window) -> bool:
    """Whether an object that is longer than what is looked at holds nothing but rows in it."""
    inside = window.raw[1:]
    ends, close = elements(inside, keyed=True)
    if close >= 0 or len(ends) < 2:
        return False
    for start, end in zip([0, *ends], ends):
        key = _KEY.match(inside, start, end)
        if key is None or not is_row(inside[key.end() : end]):
            return False
    return True


def _whole_blocks(window: Window) -> Iterator[Block]:
    while window.more():
        if len(window.raw) > _WHOLE:
            raise UserError(
                f"{window.name} is one JSON object of more than {_WHOLE // 1024**2} MB, too much to hold. "
                "Write one row a line (JSONL), or a list of rows."
            )
    values, notes = _records(window)
    rows = [_as_row(value, number) for number, value in enumerate(values, start=1)]
    if notes:
        yield ReadyBlock(window.read, notes)
    for begin in range(0, len(rows), _ROWS_A_BLOCK):
        yield ReadyBlock(window.read, rows[begin : begin + _ROWS_A_BLOCK])


def _as_row(value: Any, number: int) -> Row | Unreadable:
    return row_of(value, f"record {number}")


def _records(window: Window) -> tuple[list[Any], list[Note]]:
    """The records of a whole document, and what was mended in it."""
    notes: list[Note] = []
    try:
        value = parse_strict(window.raw)
    except ValueError as error:
        try:
            better, notes = mended(window.raw, window.name)
            value = parse_strict(better)
        except ValueError:
            raise window.broken(f"the document {error}", _place_of_fault(window.raw)) from None
    return _rows_in(value, window), notes


def _rows_in(value: Any, window: Window) -> list[Any]:
    """The rows of a document: a list under a name, columns, rows under ids, or one object alone."""
    if not isinstance(value, dict):
        raise UserError(f"{window.name} {not_an_object(value)}. Choose a dataset.")
    for entry in value.values() if _is_wrapping(value) else ():
        if entry == []:
            raise UserError(f"{window.name} holds an empty list. Choose a file with at least one row.")
        if is_row_list(entry):
            return entry
    columns = list(value.values())
    if columns and all(isinstance(column, list) and column and not _is_chat(column) for column in columns):
        return _rows_from_columns(value, window.name)
    if columns and all(_is_row_under_id(entry) for entry in columns):
        return columns
    return [value]


def _place_of_fault(raw: bytes) -> int:
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return len(raw.decode("utf-8")[: error.pos].encode("utf-8"))
    return 0


def _is_wrapping(value: dict[str, Any]) -> bool:
    """Whether an object holds one list and facts about it, rather than being a row itself."""
    kinds = [type(entry) for entry in value.values()]
    return kinds.count(list) == 1 and str not in kinds


def _is_row_under_id(entry: Any) -> bool:
    """Whether it could be one of the rows of `{"id 1": {…}, "id 2": {…}}`, rather than a message."""
    return isinstance(entry, dict) and bool(entry) and not TURN_KEYS & entry.keys()


def _is_chat(column: list[Any]) -> bool:
    return isinstance(column[0], dict)


def _rows_from_columns(columns: dict[str, list[Any]], name: str) -> list[dict[str, Any]]:
    lengths = {key: len(column) for key, column in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{key[:40]} {length}" for key, length in lengths.items())
        raise UserError(f"{name}: its columns differ in length ({said}). Give every column one value a row.")
    return [dict(zip(columns, values)) for values in zip(*columns.values())]
