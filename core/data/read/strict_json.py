"""Strict JSON, fast: no key twice, no NaN, no half characters, not too deep, numbers kept as written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from core.data.read.flow import Note
from core.data.read.formats import LONGEST_FIELD, Item, Row, Unreadable

_DEEPEST = 64
# No count of keys: the standard parser has to look, since only it sees how a number was written.
_LOOK_AGAIN = -(1 << 60)
_KEY_END = re.compile(rb'"\s*:')
# what is no JSON but means only one thing: a comma before a closing bracket or the end, Python's NaN
_LENIENT = re.compile(
    rb'"[^"\\]*(?:\\.[^"\\]*)*"|(?P<comma>,)(?=\s*(?:[}\]]|\Z))|(?P<nan>-?\b(?:NaN|Infinity)\b)', re.DOTALL
)
_TOO_DEEP = f"is nested more than {_DEEPEST} levels deep"


class WrittenNumber(str):
    """A JSON number kept as it was written: `1e5` stays `1e5`, `0.10` stays `0.10`."""


def parse_json(text: str) -> Any:
    """Strict JSON with numbers kept as written.

    Raises ValueError with a plain reason for bad syntax, NaN, lone surrogates, a key that stands twice in
    one object, or nesting too deep.
    """
    try:
        return parse_strict(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise ValueError("holds half of a character pair") from None


def parse_strict(raw: bytes) -> Any:
    """`parse_json` of UTF-8 bytes."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ValueError(json_reason(raw, error)) from None
    if len(raw) > LONGEST_FIELD and _longest_text(raw) > LONGEST_FIELD:
        _refuse_long(value)
    if type(value) is not dict and type(value) is not list:
        return _again(raw) if type(value) in (int, float) else value
    keys = _settle(value, 1)
    # A key that stands twice is written twice and kept once, so there are more colons than keys. Text may
    # hold colons, too; that only costs a second and a third look.
    if keys == raw.count(b":") or keys == len(_KEY_END.findall(raw)):
        return value
    return _again(raw)


def json_reason(raw: bytes, error: orjson.JSONDecodeError) -> str:
    """What is wrong with `raw`, in words that follow “line 3 ”."""
    text = raw.decode("utf-8", "replace")
    if "depth" in error.msg or "ecursion" in error.msg:
        return _TOO_DEEP
    if "surrogate" in error.msg and "UTF-8" not in error.msg:
        return "holds half of a character pair (a lone \\ud8xx escape)"
    if re.match(r"-?(NaN|Infinity)", text[max(error.pos - 1, 0) : error.pos + 9].lstrip(" :,[")):
        return "holds NaN or Infinity, which are not JSON"
    if "BOM" in error.msg or text.startswith("\ufeff", error.pos):
        return "holds a byte order mark in its middle"
    if "end of data" in error.msg:
        return "is cut off: it ends in the middle of a value"
    if text.startswith(("//", "/*", "#"), error.pos):
        return "holds a comment, which JSON does not have"
    if text.startswith("'", error.pos):
        return "uses single quotes where JSON needs double quotes"
    if "after document" in error.msg:
        return f"has “{text[error.pos]}” after its end (column {_column(text, error.pos)})"
    reason = re.sub(r": line [0-9].*$", "", error.msg)
    return f"is not valid JSON: {reason} (column {_column(text, error.pos)})"


def _column(text: str, position: int) -> int:
    return position - max(text.rfind("\n", 0, position), text.rfind("\r", 0, position))


def _settle(value: Any, depth: int) -> int:
    """How many keys `value` holds in all its objects. Whole numbers in it become as they were written."""
    if depth > _DEEPEST:
        raise ValueError(_TOO_DEEP)
    is_object = type(value) is dict
    keys = len(value) if is_object else 0
    for place, entry in value.items() if is_object else enumerate(value):
        kind = type(entry)
        if kind is str:
            continue
        if kind is dict or kind is list:
            keys += _settle(entry, depth + 1)
        elif kind is int and entry != 0:  # zero may have been -0
            value[place] = WrittenNumber(entry)
        elif kind is int or kind is float:
            keys += _LOOK_AGAIN
    return keys


def _again(raw: bytes) -> Any:
    return json.loads(
        raw.decode("utf-8"), object_pairs_hook=_no_twins, parse_int=WrittenNumber, parse_float=WrittenNumber
    )


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        keys = [key for key, _ in pairs]
        twin = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"has the key “{twin[:60]}” twice in one object")
    return entries


def _longest_text(raw: bytes) -> int:
    """At least as long as the longest string in it."""
    return max(map(len, raw.replace(b'\\"', b"__").split(b'"')))


def _refuse_long(value: Any) -> None:
    """Raise ValueError for a text longer than the limit, wherever it stands in `value`."""
    left = [(value, 1)]
    while left:
        entry, depth = left.pop()
        if depth > _DEEPEST:
            raise ValueError(_TOO_DEEP)
        if isinstance(entry, str) and len(entry.encode("utf-8")) > LONGEST_FIELD:
            raise ValueError(long_field(len(entry.encode("utf-8"))))
        inner = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
        left += [(item, depth + 1) for item in inner]


def long_field(size: int) -> str:
    return f"holds a text of {size / 1024**2:.1f} MB, more than the limit of {LONGEST_FIELD // 1024**2} MB"


def mended(raw: bytes, where: str) -> tuple[bytes, list[Note]]:
    """JSON without commas too much and with null for NaN; what was mended in it."""
    notes: dict[str, Note] = {}

    def mend(found: re.Match[bytes]) -> bytes:
        if found["comma"]:
            notes["comma"] = Note("stray commas", where, "")
            return b" "
        if found["nan"]:
            notes["nan"] = Note("NaN values", where, "")
            return b"null".ljust(len(found[0]))
        return found[0]

    return _LENIENT.sub(mend, raw), list(notes.values())


def records(raw: bytes, where: str) -> Iterator[Item]:
    """One JSON value as a row, mended where that helps, with notes on it."""
    row = record(raw, where)
    if isinstance(row, Unreadable) and (b"," in raw or b"N" in raw or b"I" in raw):
        better, notes = mended(raw, where)
        again = record(better, where) if notes else row
        if isinstance(again, Row):
            yield from notes
            row = again
    yield row


def record(raw: bytes, where: str) -> Row | Unreadable:
    """One JSON value as a row; of what the hub's viewer gives, the row inside."""
    try:
        value = parse_strict(raw)
    except ValueError as error:
        return Unreadable(where, str(error))
    return row_of(value, where)


def row_of(value: Any, where: str) -> Row | Unreadable:
    """A parsed value as a row: of what the hub's viewer gives, the row inside; a list of objects is a chat
    without a name.
    """
    if type(value) is dict and "row_idx" in value and type(value.get("row")) is dict:
        cut = value.get("truncated_cells")
        if cut:
            return Unreadable(where, f"was cut off by the hub's viewer (“{cut[0]}”); get the whole data set")
        value = value["row"]
    if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
        value = {"messages": value}
    return Row(value, where) if isinstance(value, dict) else Unreadable(where, not_an_object(value))


def not_an_object(value: Any) -> str:
    kind = "a list" if isinstance(value, list) else "null" if value is None else "a single value"
    return f'is {kind}, not an object with named columns like {{"question": "…", "answer": "…"}}'
