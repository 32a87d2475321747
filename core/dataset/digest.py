"""What one block of a file comes to: normalised rows as JSON lines, arrays beside them, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import xxhash
from numpy.typing import NDArray

from core.dataset.doctor import inspect
from core.dataset.kinds import BITS, KINDS, Remark
from core.dataset.read import Block, Row, Unreadable
from core.dataset.shapes import Recognised, Refused, recognise
from core.dataset.store import Found, split_key

_MOST_COLUMNS = 1000
_LONGEST_NAME = 200


@dataclass(slots=True)
class Digest:
    """A block's share of the store.

    lines: the usable rows. arrays: one entry for each of them: size (bytes of its line) and those of
    `Store`. first: column → (row of the block, place, usable row or -1) that fills it first. filled and
    unused: column → rows.
    """

    lines: bytes
    refused: bytes
    rows_read: int
    arrays: dict[str, NDArray[Any]]
    shapes: Counter[str]
    filled: Counter[str]
    unused: Counter[str]
    found: dict[str, Found]
    first: dict[str, tuple[int, str, int]]


def no_digest() -> Digest:
    """The digest of nothing."""
    return _Tally({}, "").digest()


def digest_block(block: Block, columns: dict[str, str], prefix: str) -> Digest:
    """Parse, recognise and inspect every row of `block`; `prefix` goes before each row's place."""
    tally = _Tally(columns, prefix)
    for item in block.rows():
        if isinstance(item, Unreadable):
            tally.refuse("unreadable row", prefix + item.where, item.reason)
        else:
            tally.add(item)
        tally.rows_read += 1
    return tally.digest()


@dataclass(slots=True)
class _Tally:
    columns: dict[str, str]
    prefix: str
    rows_read: int = 0
    lines: list[bytes] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    keys: list[tuple[int, int]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    chars: list[int] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    shapes: Counter[str] = field(default_factory=Counter)
    filled: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    found: dict[str, Found] = field(default_factory=dict)
    first: dict[str, tuple[int, str, int]] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        place = self.prefix + row.where
        recognised = recognise(row, self.columns)
        usable = isinstance(recognised, Recognised) and self._keep(recognised, place)
        if isinstance(recognised, Refused):
            self.refuse(recognised.kind, place, recognised.reason)
        self._count_columns(row.data, place, len(self.lines) - 1 if usable else -1)

    def refuse(self, kind: str, place: str, reason: str) -> None:
        self.refused.append(orjson.dumps({"where": place, "kind": kind, "reason": reason}) + b"\n")
        self._note(kind, place, reason)

    def _keep(self, recognised: Recognised, place: str) -> bool:
        """Take the row in, unless a remark says that such rows are never used."""
        messages = recognised.messages
        remarks = [*recognised.remarks, *inspect(messages)]
        dropping = next((remark for remark in remarks if KINDS[remark.kind].drops), None)
        if dropping is not None:
            self.refuse(dropping.kind, place, dropping.detail)
            return False
        if recognised.unused:
            named = ", ".join(f"“{name[:40]}”" for name in recognised.unused[:6])
            remarks.append(Remark("extra columns", named))
        self.flags.append(self._note_all(remarks, place))
        written = orjson.dumps(messages)
        self.lines.append(b'{"messages":' + written + b',"where":' + orjson.dumps(place) + b"}\n")
        self.keys.append(split_key(xxhash.xxh3_128_intdigest(written)))
        answer = next((one["content"] for one in reversed(messages) if one["role"] != "user"), "")
        self.answers.append(xxhash.xxh3_64_intdigest(answer.encode()))
        self.chars.append(sum(len(message["content"]) for message in messages))
        self.turns.append(min(len(messages), 65_535))
        self.shapes[recognised.shape] += 1
        for name in recognised.unused:
            _count(self.unused, name)
        return True

    def _note_all(self, remarks: Iterable[Remark], place: str) -> int:
        flags = 0
        for remark in remarks:
            bit = BITS[remark.kind]
            if not flags & bit:
                self._note(remark.kind, place, remark.detail)
            flags |= bit
        return flags

    def _note(self, kind: str, place: str, reason: str) -> None:
        if kind not in self.found:
            self.found[kind] = Found()
        self.found[kind].add(place, reason)

    def _count_columns(self, data: dict[str, Any], place: str, usable: int) -> None:
        for name, value in data.items():
            filled = value is not None and value != "" and value != []
            if _count(self.filled, name, filled) and filled and name not in self.first:
                self.first[name] = (self.rows_read, place, usable)

    def digest(self) -> Digest:
        return Digest(
            lines=b"".join(self.lines),
            refused=b"".join(self.refused),
            rows_read=self.rows_read,
            arrays={
                "size": np.fromiter(map(len, self.lines), np.int64, len(self.lines)),
                "key": np.array(self.keys, np.uint64).reshape(-1, 2),
                "answer": np.array(self.answers, np.uint64),
                "flags": np.array(self.flags, np.uint64),
                "chars": np.array(self.chars, np.uint32),
                "turns": np.array(self.turns, np.uint16),
            },
            shapes=self.shapes,
            filled=self.filled,
            unused=self.unused,
            found=self.found,
            first=self.first,
        )


def _count(counter: Counter[str], name: str, rows: int = 1) -> bool:
    """Count a column, unless there are absurdly many or its name is absurdly long; whether it counts."""
    if name not in counter and (len(counter) >= _MOST_COLUMNS or len(name) > _LONGEST_NAME):
        return False
    counter[name] += rows
    return True
