"""The store: every usable row of a dataset as messages on disk, with a few small arrays beside them.

`RowFile` is how rows rest, here and in a run's own copy.

    rows.jsonl      one line a row: {"messages": […], "where": "line 3"}
    refused.jsonl   one line a row that is none: {"where", "kind", "reason"}
    index.npz       where each line starts, arrays with one entry a row, and the pairs of near-duplicates
    summary.json    counts, files, shapes, columns, problems; written last, so its presence means complete

`core.data.scan` writes it; everything after that reads it: report, preview, token statistics, fixes,
split, snapshot, cleaned copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import tee
from pathlib import Path
from typing import overload
from zipfile import BadZipFile

import numpy as np
import orjson
import xxhash
from numpy.typing import NDArray

from core.base.errors import UserError
from core.base.records import read_if_whole
from core.data.doctor import empty_turn, rewrite
from core.data.kinds import BITS, KINDS
from core.data.shapes import Conversation, Message

VERSION = 6
PLACES_KEPT = 20
_COMPARED = ("duplicates", "near-duplicates")
_ARRAYS = ("key", "answer", "flags", "chars", "turns", "near")
ROWS, REFUSED, INDEX, SUMMARY = "rows.jsonl", "refused.jsonl", "index.npz", "summary.json"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One source file: how it is written, its size in bytes on disk, its rows and its SHA-256.

    `sha256` is empty for a file that could not be read to its end.
    """

    name: str
    path: str
    format: str = ""
    encoding: str = ""
    packed: str = ""
    size: int = 0
    rows: int = 0
    sha256: str = ""


def sha256_of(files: list[FileFacts]) -> str:
    """The file's; of several files, that of their hashes in order. Empty if one can't be read."""
    hashes = [file.sha256 for file in files]
    if not hashes or not all(hashes):
        return ""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


@dataclass(slots=True)
class Tally:
    """How many rows a kind of problem has, where the first ones stand, and the reason or detail of each."""

    count: int = 0
    places: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def add(self, place: str, reason: str) -> None:
        self.count += 1
        if len(self.places) < PLACES_KEPT:
            self.places.append(place)
            self.reasons.append(reason)

    def merge(self, later: Tally) -> None:
        """Add what comes further on in the data."""
        self.count += later.count
        room = PLACES_KEPT - len(self.places)
        self.places += later.places[:room]
        self.reasons += later.reasons[:room]


@dataclass(slots=True)
class Summary:
    """What one pass over the data came to.

    shapes: shape → rows. columns: column → rows that fill it, in the order of their appearance; unused:
    the same for columns that no message was made of. notes: kind → a sentence about the whole data.
    tallies: kind of problem → rows. failure: why a file could not be read to its end.
    """

    files: list[FileFacts] = field(default_factory=list)
    rows_read: int = 0
    shapes: dict[str, int] = field(default_factory=dict)
    columns: dict[str, int] = field(default_factory=dict)
    unused: dict[str, int] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)
    failure: str = ""
    version: int = VERSION


class RowFile(Sequence[Conversation]):
    """Rows that rest on disk, one JSON line each, read when they are asked for.

    start: where each line begins, and the file's size; told by one pass over the file if it isn't given.
    """

    def __init__(self, path: Path, start: NDArray[np.int64] | None = None) -> None:
        self.path = path
        if start is None:
            with open(path, "rb") as file:
                sizes = np.fromiter(map(len, file), np.int64)
            start = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        self.start = start

    def __len__(self) -> int:
        return len(self.start) - 1

    @overload
    def __getitem__(self, place: int) -> Conversation: ...
    @overload
    def __getitem__(self, place: slice) -> list[Conversation]: ...
    def __getitem__(self, place: int | slice) -> Conversation | list[Conversation]:
        numbers = range(len(self))[place]
        return next(self.read([numbers])) if isinstance(numbers, int) else list(self.read(numbers))

    def __iter__(self) -> Iterator[Conversation]:
        with open(self.path, "rb") as file:
            yield from map(_conversation, file)

    def read(self, numbers: Iterable[int]) -> Iterator[Conversation]:
        """These rows in the given order. Rising numbers are fast."""
        with open(self.path, "rb") as file:
            position = 0
            for number in numbers:
                start, end = int(self.start[number]), int(self.start[number + 1])
                if position != start:
                    file.seek(start)
                position = end
                yield _conversation(file.read(end - start))


def row_line(row: Conversation) -> bytes:
    """The row as a line that `RowFile` reads."""
    return orjson.dumps({"messages": row.messages, "where": row.where}) + b"\n"


def _conversation(line: bytes) -> Conversation:
    value = orjson.loads(line)
    return Conversation(value["messages"], value["where"])


@dataclass(frozen=True, slots=True)
class Mended:
    """What the text fixes make of the rows that they touch: their new keys, and which are left empty."""

    rows: NDArray[np.int64]
    keys: NDArray[np.uint64]
    empty: NDArray[np.bool_]


class Store:
    """A complete store. Rows are numbered from 0 in the order of the data; refused rows have no number.

    key: 128-bit hash of a row's messages (n × 2). answer: hash of its last answer. flags: `kinds.BITS` of
    everything that was noticed. chars: characters of text. turns: messages. near: (row, earlier row that
    it is almost the same as).
    """

    def __init__(self, folder: Path, summary: Summary) -> None:
        self.folder = folder
        self.summary = summary
        with np.load(folder / INDEX, allow_pickle=False) as arrays:
            self.file = RowFile(folder / ROWS, arrays["start"])
            self.key: NDArray[np.uint64] = arrays["key"]
            self.answer: NDArray[np.uint64] = arrays["answer"]
            self.flags: NDArray[np.uint64] = arrays["flags"]
            self.chars: NDArray[np.uint32] = arrays["chars"]
            self.turns: NDArray[np.uint16] = arrays["turns"]
            self.near: NDArray[np.int64] = arrays["near"]
        self._mended: dict[frozenset[str], Mended] = {}

    @classmethod
    def open(cls, folder: Path) -> Store:
        """The store in `folder`. A UserError says when there is none, or an old or damaged one."""
        summary = read_if_whole(folder / SUMMARY, Summary)
        if summary is None or summary.version != VERSION:
            raise UserError(f"{folder} holds no checked data. Check the file again.")
        try:
            store = cls(folder, summary)
            if (folder / ROWS).stat().st_size != store.file.start[-1]:
                raise ValueError("its rows are cut off")
            return store
        except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
            raise UserError(f"The checked data in {folder} is damaged. Delete it and check again.") from error

    def save_index(self) -> None:
        """Write the arrays as they are now."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        np.savez(self.folder / INDEX, start=self.file.start, **arrays)

    def __len__(self) -> int:
        return len(self.file)

    def row(self, number: int) -> Conversation:
        """One row as it stands in the data, without fixes."""
        return self.file[number]

    def where(self, number: int) -> str:
        """Where row `number` stands in its file."""
        return self.file[number].where

    def read(self, numbers: Iterable[int] | None = None) -> Iterator[Conversation]:
        """These rows (all, if none are named) in the given order, without fixes."""
        return iter(self.file) if numbers is None else self.file.read(numbers)

    def refused(self) -> Iterator[dict[str, str]]:
        """The rows that are none: {"where", "kind", "reason"} each."""
        with open(self.folder / REFUSED, "rb") as file:
            yield from map(orjson.loads, file)

    def having(self, kind: str) -> NDArray[np.int64]:
        """Numbers of the rows with this kind of problem."""
        return np.flatnonzero(self.flags & np.uint64(BITS[kind]))

    def select(self, fixes: Collection[str] = ()) -> NDArray[np.int64]:
        """Numbers of the rows that are left when the fixes called `fixes` are taken."""
        return np.flatnonzero(self.fate(fixes) == "")

    def fate(self, fixes: Collection[str] = ()) -> NDArray[np.object_]:
        """For each row the name of the kind whose fix leaves it out; empty where it stays."""
        fate = np.full(len(self), "", dtype=object)
        for kind in fixes:
            if kind not in _COMPARED and KINDS[kind].fix_drops:
                fate[self.having(kind)] = kind
        mended = self.mended(fixes)
        fate[mended.rows[mended.empty]] = "empty answer"
        if "duplicates" in fixes:
            left = np.flatnonzero(fate == "")
            fate[left[later_copies(self.keys(fixes)[left])]] = "duplicates"
        if "near-duplicates" in fixes:
            row, earlier = self.near.T
            fate[row[(fate[earlier] == "") & (fate[row] == "")]] = "near-duplicates"
        return fate

    def keys(self, fixes: Collection[str] = ()) -> NDArray[np.uint64]:
        """The content hash of every row as it reads after the text fixes."""
        mended = self.mended(fixes)
        if not len(mended.rows):
            return self.key
        keys = self.key.copy()
        keys[mended.rows] = mended.keys
        return keys

    def rows(self, fixes: Collection[str] = ()) -> Iterator[Conversation]:
        """The rows that are left, with the text fixes done."""
        return self.mend(self.select(fixes), fixes)

    def mend(self, numbers: Iterable[int], fixes: Collection[str]) -> Iterator[Conversation]:
        """These rows, with the text fixes done."""
        kinds = text_fixes(fixes)
        touched = self._touched(kinds)
        for number, conversation in self.numbered(numbers):
            if touched[number]:
                messages, _ = rewrite(conversation.messages, kinds)
                conversation = Conversation(messages, conversation.where)
            yield conversation

    def numbered(self, numbers: Iterable[int]) -> Iterator[tuple[int, Conversation]]:
        """(number, row) of these rows, without fixes."""
        for_reading, for_naming = tee(map(int, numbers))
        return zip(for_naming, self.read(for_reading), strict=True)

    def mended(self, fixes: Collection[str]) -> Mended:
        """What the text fixes among `fixes` do; worked out once for each choice of them."""
        kinds = frozenset(text_fixes(fixes))
        if kinds not in self._mended:
            self._mended = {kinds: self._mend_all(kinds)}
        return self._mended[kinds]

    def _mend_all(self, kinds: frozenset[str]) -> Mended:
        numbers = np.flatnonzero(self._touched(kinds)) if kinds else np.empty(0, np.int64)
        keys = np.empty((len(numbers), 2), np.uint64)
        empty = np.zeros(len(numbers), bool)
        for place, conversation in enumerate(self.read(numbers) if len(numbers) else ()):
            messages, _ = rewrite(conversation.messages, kinds)
            keys[place] = content_key(messages)
            empty[place] = empty_turn(messages) is not None
        return Mended(numbers, keys, empty)

    def _touched(self, kinds: Collection[str]) -> NDArray[np.bool_]:
        mask = np.uint64(sum(BITS[kind] for kind in kinds))
        return (self.flags & mask) != 0


def text_fixes(fixes: Collection[str]) -> list[str]:
    """Those among the taken fixes that rewrite text."""
    return [kind for kind in fixes if KINDS[kind].fix and not KINDS[kind].fix_drops]


def content_key(messages: list[Message]) -> tuple[int, int]:
    """Equal for two rows exactly when all their roles and texts are equal."""
    digest = xxhash.xxh3_128_intdigest(orjson.dumps(messages))
    return digest >> 64, digest & 0xFFFF_FFFF_FFFF_FFFF


def first_copies(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each key the place where it stands first."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    begins = np.ones(len(keys), bool)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    # the sort is stable: the first of equal keys is the earliest
    firsts = np.empty(len(keys), np.int64)
    firsts[order] = order[begins][np.cumsum(begins) - 1]
    return firsts


def later_copies(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Places of the keys that stand earlier already, rising."""
    return np.flatnonzero(first_copies(keys) != np.arange(len(keys)))
