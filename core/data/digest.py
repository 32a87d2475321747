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

from core.data.doctor import inspect
from core.data.kinds import BITS, KINDS, Remark
from core.data.read import Block, Note, Row, Unreadable
from core.data.shapes import Recognised, Refused, may_matter, recognise
from core.data.store import Tally

_MOST_COLUMNS = 1000
_LONGEST_NAME = 200


@dataclass(slots=True)
class Digest:
    """A block's share of the store.

    read: how far the block reaches in its file, in bytes. lines: the usable rows. arrays: one entry for each
    of them: size (bytes of its line) and those of `Store`. first: column → (row of the block, place, usable
    row or -1) that fills it first. filled and unused: column → rows.
    """

    read: int = 0
    lines: bytes = b""
    refused: bytes = b""
    rows_read: int = 0
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    shapes: Counter[str] = field(default_factory=Counter)
    filled: dict[str, int] = field(default_factory=dict)
    unused: Counter[str] = field(default_factory=Counter)
    tallies: dict[str, Tally] = field(default_factory=dict)
    first: dict[str, tuple[int, str, int]] = field(default_factory=dict)


def no_digest() -> Digest:
    """The digest of nothing."""
    return _Counter({}, "").finished(0)


def digest_block(block: Block, columns: dict[str, str], prefix: str) -> Digest:
    """Parse, recognise and inspect every row of `block`; `prefix` goes before each row's place."""
    counter = _Counter(columns, prefix)
    for item in block.rows():
        if isinstance(item, Note):
            counter.note(item.kind, prefix + item.where, item.detail)
            continue
        if isinstance(item, Unreadable):
            counter.refuse("unreadable row", prefix + item.where, item.reason)
        else:
            counter.add(item)
        counter.digest.rows_read += 1
    return counter.finished(block.read)


@dataclass(slots=True)
class _Counter:
    """Fills a digest row by row."""

    columns: dict[str, str]
    prefix: str
    digest: Digest = field(default_factory=Digest)
    lines: list[bytes] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    chars: list[int] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)

    def add(self, row: Row) -> None:
        place = self.prefix + row.where
        recognised = recognise(row, self.columns)
        usable = isinstance(recognised, Recognised) and self._keep(recognised, place)
        if isinstance(recognised, Refused):
            self.refuse(recognised.kind, place, recognised.reason)
        self._count_columns(row.data, place, len(self.lines) - 1 if usable else -1)

    def refuse(self, kind: str, place: str, reason: str) -> None:
        self.refused.append(orjson.dumps({"where": place, "kind": kind, "reason": reason}) + b"\n")
        self.note(kind, place, reason)

    def _keep(self, recognised: Recognised, place: str) -> bool:
        """Take the row in, unless a remark says that such rows are never used."""
        messages = recognised.messages
        rendered = any(remark.kind == "rendered chat" for remark in recognised.remarks)
        remarks = [*recognised.remarks, *inspect(messages, rendered)]
        dropping = next((remark for remark in remarks if KINDS[remark.kind].drops), None) if remarks else None
        if dropping is not None:
            self.refuse(dropping.kind, place, dropping.detail)
            return False
        if recognised.unused:
            names = self._count_unused(recognised.unused)
            hurt = any(map(may_matter, recognised.unused))
            remarks.append(Remark("extra columns" if hurt else "idle columns", names))
        self.flags.append(self._note_all(remarks, place))
        written = orjson.dumps(messages)
        self.lines.append(b'{"messages":%b,"where":%b}\n' % (written, orjson.dumps(place)))
        self.keys.append(xxhash.xxh3_128_digest(written))
        answer, chars = "", 0
        for message in messages:
            chars += len(message["content"])
            if message["role"] != "user":
                answer = message["content"]
        self.answers.append(xxhash.xxh3_64_digest(answer.encode()))
        self.chars.append(chars)
        self.turns.append(min(len(messages), 65_535))
        self.digest.shapes[recognised.shape] += 1
        return True

    def _count_unused(self, names: list[str]) -> str:
        for name in names:
            if name in self.digest.unused or _is_countable(self.digest.unused, name):
                self.digest.unused[name] += 1
        return ", ".join(f"“{name[:40]}”" for name in names[:6])

    def _note_all(self, remarks: Iterable[Remark], place: str) -> int:
        flags = 0
        for remark in remarks:
            bit = BITS[remark.kind]
            if not flags & bit:
                self.note(remark.kind, place, remark.detail)
            flags |= bit
        return flags

    def note(self, kind: str, place: str, reason: str) -> None:
        if kind not in self.digest.tallies:
            self.digest.tallies[kind] = Tally()
        self.digest.tallies[kind].add(place, reason)

    def _count_columns(self, data: dict[str, Any], place: str, usable: int) -> None:
        filled = self.digest.filled
        for name, value in data.items():
            count = filled.get(name)
            if count is None:
                if not _is_countable(filled, name):
                    continue
                filled[name] = count = 0
            if value is None or value == "" or value == []:
                continue
            if not count:
                self.digest.first[name] = (self.digest.rows_read, place, usable)
            filled[name] = count + 1

    def finished(self, read: int) -> Digest:
        digest = self.digest
        digest.read = read
        digest.lines, digest.refused = b"".join(self.lines), b"".join(self.refused)
        digest.arrays = {
            "size": np.fromiter(map(len, self.lines), np.int64, len(self.lines)),
            "key": _hashes(self.keys).reshape(-1, 2),
            "answer": _hashes(self.answers),
            "flags": np.array(self.flags, np.uint64),
            "chars": np.array(self.chars, np.uint32),
            "turns": np.array(self.turns, np.uint16),
        }
        return digest


def _is_countable(counted: dict[str, int], name: str) -> bool:
    """Whether a new column is counted: absurdly many or absurdly long names are not."""
    return len(counted) < _MOST_COLUMNS and len(name) <= _LONGEST_NAME


def _hashes(digests: list[bytes]) -> NDArray[np.uint64]:
    """xxhash's digests as numbers; their first byte is the highest."""
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)
