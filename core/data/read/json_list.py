"""The rows of a large JSON document, cut out of their list one by one without holding the whole of it.

The list is `[{…}, {…}]`, or an object whose values are the rows: `{"id 1": {…}, "id 2": {…}}`. Its elements
are found by counting brackets outside of strings, and each is then parsed strictly. Objects one after the
other, with no list around them, are read like a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from core.base.errors import UserError
from core.data.read.flow import Note, line_ends
from core.data.read.formats import LONGEST_ROW, Block, Item, ReadyBlock, Unreadable
from core.data.read.strict_json import parse_strict, records

# what the turn of a chat has, and a row has not
TURN_KEYS = {"role", "from", "speaker"}
_LONGEST_REST = 64 * 1024**2
# what stands before an element: a comma, unless it is the first, and its key in an object; never two \s* in
# a row, which would take quadratic time over much white space
_BEFORE = re.compile(rb"\s*(?:(,)\s*)?(?!,)")
_BEFORE_WITH_KEY = re.compile(rb'\s*(?:(,)\s*)?"[^"\\]*(?:\\.[^"\\]*)*"\s*:\s*', re.DOTALL)
_NEXT = re.compile(rb"\s*(?:,\s*)?\{")
_SCALAR = re.compile(rb'\s*(?:,\s*)?(?:"[^"\\]*(?:\\.[^"\\]*)*"|[^\s,"\[\]{}]+)', re.DOTALL)
# by byte: whether it is a quote or a bracket, and how a bracket changes the depth
_STEPS = np.zeros(256, np.int64)
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1
_MARKS = _STEPS != 0
_MARKS[ord('"')] = True
# so many open brackets are no data; without an end to them the arrays below would fill the memory
_MOST_OPEN = 10_000


class TooDeep(Exception):
    """Far more brackets are opened than closed."""


class Window:
    """UTF-8 of a document: `raw` grows at its end by `more` and is taken from its beginning by `take`.

    read: bytes on disk read so far. line: the file's line that `raw` begins in.
    """

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

    def broken(self, reason: str, place: int = 0) -> UserError:
        line = self.line + line_ends(self.raw[:place])
        return UserError(f"{self.name}, line {line}: {reason}. Correct the file there.")


def brackets(raw: bytes) -> tuple[np.ndarray, np.ndarray]:
    """(place of each bracket outside of strings, how many are open after it); `raw` begins outside of one.

    Raises TooDeep.
    """
    # what a backslash hides goes, in place: first pairs of them, then those before a quote
    codes = np.frombuffer(raw.replace(b"\\\\", b"__").replace(b'\\"', b"__"), np.uint8)
    marks = np.flatnonzero(_MARKS[codes])
    steps = _STEPS[codes[marks]]
    is_quote = steps == 0
    outside = ~is_quote & (np.cumsum(is_quote) % 2 == 0)
    depths = np.cumsum(steps[outside])
    if depths.max(initial=0) > _MOST_OPEN:
        raise TooDeep
    return marks[outside], depths


@dataclass(slots=True)
class ElementsBlock:
    """Some elements of a list, with what stands between them, from record `first` and line `line` on."""

    read: int
    raw: bytes
    ends: list[int]
    first: int
    line: int
    name: str
    keyed: bool
    loose: bool = False

    def rows(self) -> Iterator[Item]:
        start = 0
        for number, end in enumerate(self.ends, start=self.first):
            raw = self.raw[start:end]
            before = (_BEFORE_WITH_KEY if self.keyed else _BEFORE).match(raw)
            if before is None or (bool(before[1]) != (number > 1) and not self.loose):
                place = start + len(raw) - len(raw.lstrip())
                raise self._broken(place, f"a comma is missing or too much before record {number}")
            if before[1] and self.loose:
                yield Note("stray commas", f"record {number}", "")
            for item in records(raw[before.end() :], f"record {number}"):
                if isinstance(item, Unreadable):
                    self._check(raw[before.end() :], start + before.end(), number, item.reason)
                yield item
            start = end

    def _check(self, raw: bytes, start: int, number: int, reason: str) -> None:
        try:
            orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            # Half a character pair or too many levels spoil one record; bad syntax spoils the document.
            if "surrogate" not in error.msg and "depth" not in error.msg:
                place = start + len(raw.decode("utf-8", "replace")[: error.pos].encode("utf-8"))
                raise self._broken(place, f"record {number} {reason}") from None

    def _broken(self, place: int, reason: str) -> UserError:
        line = self.line + line_ends(self.raw[:place])
        return UserError(f"{self.name}, line {line}: {reason}. Correct the file there.")


def list_blocks(window: Window, around: bytes = b"") -> Iterator[Block]:
    """The elements of the list that the window begins with; then what stands around it is checked.

    around: the document up to the list.
    """
    keyed = window.raw.startswith(b"{")
    window.raw = b" " + window.raw[1:]  # the list's own bracket; a space keeps every place
    first = 1
    while True:
        ends, close = elements(window.raw, keyed)
        if ends:
            yield ElementsBlock(
                window.read, window.raw[: ends[-1]], ends, first, window.line, window.name, keyed
            )
            first += len(ends)
            window.take(ends[-1])
        if close >= 0:
            last = close - (ends[-1] if ends else 0)
            if window.raw[:last].strip() == b"," and first > 1:
                yield ReadyBlock(window.read, [Note("stray commas", f"record {first - 1}", "")])
                window.take(last)
                last = 0
            _check_end(window, last, around + (b"{" if keyed else b"["), first)
            return
        if len(window.raw) > LONGEST_ROW or not window.more():
            raise _never_ends(window, first, keyed)


def loose_blocks(window: Window) -> Iterator[Block]:
    """Objects one after the other, with or without commas between them."""
    first = 1
    while True:
        ends, _ = elements(window.raw, keyed=False)
        if ends:
            yield ElementsBlock(
                window.read, window.raw[: ends[-1]], ends, first, window.line, window.name, False, loose=True
            )
            first += len(ends)
            window.take(ends[-1])
        if len(window.raw) > LONGEST_ROW:
            raise _never_ends(window, first, keyed=False)
        if not window.more():
            break
    if window.raw.strip(b", \t\r\n"):
        raise _never_ends(window, first, keyed=False)


def is_followed(window: Window) -> bool:
    """Whether the object that the window begins with ends in it, and another one follows."""
    places, depths = brackets(window.raw)
    closing = np.flatnonzero(depths == 0)
    if not len(closing):
        return False
    end = int(places[closing[0]]) + 1
    while not window.raw[end:].strip() and window.more():
        continue
    return _NEXT.match(window.raw, end) is not None


def elements(raw: bytes, keyed: bool) -> tuple[list[int], int]:
    """(where each whole element ends, where the list's closing bracket stands or -1)."""
    places, depths = brackets(raw)
    closing = np.flatnonzero(depths < 0)
    close = int(places[closing[0]]) if len(closing) else -1
    if len(closing):
        places, depths = places[: closing[0]], depths[: closing[0]]
    stops = places[depths == 0].tolist()
    if keyed:
        return [stop + 1 for stop in stops], close
    # each element's own first bracket: the first of all, and the one after an element's last
    begins = np.concatenate(([True], depths[:-1] == 0)) if len(depths) else []
    starts = places[begins].tolist()
    ends: list[int] = []
    place = 0
    for start, stop in zip(starts, stops):
        if raw[place:start].strip() not in (b"", b","):
            ends += _scalars(raw, place, start)
        place = stop + 1
        ends.append(place)
    last = starts[len(stops)] if len(starts) > len(stops) else close
    return ends + (_scalars(raw, place, last) if last >= 0 else []), close


def _scalars(raw: bytes, start: int, end: int) -> list[int]:
    """Where each value that is no list or object ends, between two that are."""
    ends = []
    while found := _SCALAR.match(raw, start, end):
        start = found.end()
        ends.append(start)
    return ends


def is_row_list(entry: Any) -> bool:
    """Whether it is a list of rows, and not the turns of one chat."""
    if not isinstance(entry, list) or not entry:
        return False
    # the hub's viewer lists the columns beside the rows
    return all(
        isinstance(item, dict) and not TURN_KEYS & item.keys() and "feature_idx" not in item for item in entry
    )


def _several_lists(window: Window, what: str) -> UserError:
    """None of a document's lists is left out in silence; `parts` takes them apart where it can."""
    return UserError(f"{window.name} holds {what}. Write each of its lists into a file of its own.")


def _never_ends(window: Window, number: int, keyed: bool) -> UserError:
    """Why the list stops in its middle: a record that is broken, too long, or cut off with the file."""
    if len(window.raw) > LONGEST_ROW:
        return window.broken(f"record {number} is longer than {LONGEST_ROW // 1024**2} MB, or never ends")
    before = (_BEFORE_WITH_KEY if keyed else _BEFORE).match(window.raw)
    start = before.end() if before else 0
    try:
        parse_strict(window.raw[start:])
    except ValueError as error:
        if window.raw[start:].strip():
            return window.broken(f"record {number} {error}", start)
    return window.broken("the list is never closed: the file was cut off")


def _check_end(window: Window, close: int, around: bytes, first: int) -> None:
    """What stands around a list: nothing but white space, or the rest of the object that it is part of."""
    if window.take(close).strip():
        raise window.broken("a comma stands after the last record (a trailing comma is not JSON)")
    while len(window.raw) <= _LONGEST_REST and window.more():
        continue
    if len(window.raw) > _LONGEST_REST:
        raise _several_lists(window, f"more than {_LONGEST_REST // 1024**2} MB beside its first list")
    try:
        whole = parse_strict(around + window.raw)
    except ValueError as error:
        raise window.broken(f"what stands around the list of records {error}") from None
    others = [key for key, value in whole.items() if is_row_list(value)] if isinstance(whole, dict) else []
    if others and around:
        raise _several_lists(window, f"a further list of rows, “{others[0][:40]}”")
    if first == 1:
        raise UserError(f"{window.name} holds an empty list. Choose a file with at least one row.")
