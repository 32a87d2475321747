"""One pass over any data: read, recognise, inspect, and write what was found into a store."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.base.aside import aside, remove, sweep
from core.base.errors import UserError
from core.base.files import sha256_file, write_json
from core.data.compare import compare
from core.data.digest import Digest, no_digest
from core.data.kinds import BITS
from core.data.pool import Pool
from core.data.read import expand, open_source
from core.data.store import INDEX, REFUSED, ROWS, SUMMARY, FileFacts, Found, Store, Summary

# so many rows of a file without a value make a column that has one later worth a word
LATE = 1000
_SAY_EVERY_S = 0.3


class ScanStopped(Exception):
    """The scan was ended because somebody asked for it; nothing of it is left."""


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far a scan is. stage: “reading” (bytes of total, rows) or “comparing” (for near-duplicates)."""

    stage: str
    file: str
    bytes: int
    total: int
    rows: int
    rows_per_s: float


def scan(
    paths: list[Path],
    folder: Path,
    columns: dict[str, str] | None = None,
    say: Callable[[ScanProgress], None] = lambda progress: None,
    stop: Callable[[], object] = lambda: False,
) -> Store:
    """Read `paths` (files, folders) once and make a store of them in `folder`, whole or not at all.

    What is wrong with a file or a row is noted in the store, never raised. Raises ScanStopped, and UserError
    when the store can't be written. A store that another process made there meanwhile is left.
    """
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent)
        temporary = aside(folder)
        temporary.mkdir()
        _fill(temporary, paths, columns or {}, say, stop)
        _move_in(temporary, folder)
    except OSError as error:
        raise UserError(write_problem(error, folder)) from error
    except BrokenProcessPool as error:
        raise UserError(
            "A process of the check was killed, most often because memory ran out. "
            "Close other programs and check the data again."
        ) from error
    finally:
        if temporary is not None:
            remove(temporary)
    return Store.open(folder)


def _fill(
    folder: Path,
    paths: list[Path],
    columns: dict[str, str],
    say: Callable[[ScanProgress], None],
    stop: Callable[[], object],
) -> None:
    began = time.monotonic()
    files, failure = _expanded(paths)
    total = sum(map(_size, files))
    with _Book(folder, total, say, stop) as book:
        if failure:
            book.fail(_named(paths[0]) if paths else "", failure)
        with Pool(total, columns) as pool:
            for path in files:
                _read_file(path, f"{_named(path)}, " if len(files) > 1 else "", pool, book)
    np.savez(folder / INDEX, **book.arrays())  # pyright: ignore[reportArgumentType]
    compare(Store(folder, book.summary), lambda: book.progress("comparing", total))
    book.summary.seconds = round(time.monotonic() - began, 3)
    write_json(folder / SUMMARY, book.summary.to_json())


def _expanded(paths: list[Path]) -> tuple[list[Path], str]:
    """The files that `paths` stand for, and why there are none."""
    try:
        return expand(paths), ""
    except UserError as error:
        return [], str(error)


def _named(path: Path) -> str:
    """The file's name; one that is no valid text must not break what is written about it."""
    return path.name.encode("utf-8", "replace").decode()


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _read_file(path: Path, prefix: str, pool: Pool, book: _Book) -> None:
    """One file into the book; what makes it unreadable is noted there."""
    book.begin(_named(path))
    facts = FileFacts(_named(path), str(path).encode("utf-8", "replace").decode(), size=_size(path))
    try:
        source = open_source(path)
        facts = replace(
            facts, format=source.format.name, encoding=source.encoding, packed=source.packed, size=source.size
        )
        for read, digest in pool.digests(source.blocks(), prefix):
            book.add(digest, read)
        facts = replace(facts, sha256=source.sha256)
    except UserError as error:
        book.fail(facts.name, str(error))
        with suppress(OSError):
            # a pipe would be waited for, a device has no end
            facts = replace(facts, sha256=sha256_file(path) if path.is_file() else "")
    book.end(facts)


class _Book:
    """Takes the digests in order, writes their lines and keeps their arrays and counts."""

    def __init__(
        self,
        folder: Path,
        total: int,
        say: Callable[[ScanProgress], None],
        stop: Callable[[], object],
    ) -> None:
        self.summary = Summary()
        self._total, self._say, self._stop = total, say, stop
        self._arrays: list[dict[str, NDArray[Any]]] = []
        self._file = ""
        self._filled: set[str] = set()
        self._rows_of_file = self._bytes_before = 0
        self._began = time.monotonic()
        self._said = 0.0
        self._folder = folder
        self._open = ExitStack()

    def __enter__(self) -> _Book:
        self._rows = self._open.enter_context(open(self._folder / ROWS, "wb", buffering=1 << 20))
        self._refused = self._open.enter_context(open(self._folder / REFUSED, "wb", buffering=1 << 20))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def begin(self, name: str) -> None:
        self._file, self._rows_of_file = name, 0
        self._filled.clear()

    def end(self, facts: FileFacts) -> None:
        self.summary.files.append(replace(facts, rows=self._rows_of_file))
        self._bytes_before += facts.size

    def fail(self, name: str, sentence: str) -> None:
        """Note that the file called `name` can't be read (further), and why."""
        self.summary.failure = self.summary.failure or sentence
        self.summary.found.setdefault("unreadable file", Found()).add(name, sentence)

    def add(self, digest: Digest, read: int) -> None:
        """Write one block's lines and add up what it found. `read` bytes of the file are done."""
        self._note_late_columns(digest)
        self._rows.write(digest.lines)
        self._refused.write(digest.refused)
        self._arrays.append(digest.arrays)
        self._rows_of_file += digest.rows_read
        summary = self.summary
        summary.rows_read += digest.rows_read
        for kept, more in (
            (summary.shapes, digest.shapes),
            (summary.columns, digest.filled),
            (summary.unused, digest.unused),
        ):
            for name, count in more.items():
                kept[name] = kept.get(name, 0) + count
        for kind, found in digest.found.items():
            summary.found.setdefault(kind, Found()).merge(found)
        self.progress("reading", self._bytes_before + read)

    def progress(self, stage: str, done: int) -> None:
        """Say how far it is, a few times a second, and end here if that was asked for."""
        if self._stop():
            raise ScanStopped
        now = time.monotonic()
        if now - self._said >= _SAY_EVERY_S:
            self._said = now
            rows = self.summary.rows_read
            speed = rows / max(now - self._began, 1e-6)
            self._say(ScanProgress(stage, self._file, done, self._total, rows, speed))

    def _note_late_columns(self, digest: Digest) -> None:
        for name, (row, place, usable) in digest.first.items():
            if name in self._filled:
                continue
            self._filled.add(name)
            before = self._rows_of_file + row
            if before >= LATE:
                reason = f"“{name}”, after {before:,} rows without it"
                self.summary.found.setdefault("late column", Found()).add(place, reason)
                if usable >= 0:
                    digest.arrays["flags"][usable] |= np.uint64(BITS["late column"])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of the whole data, as the index keeps them."""
        whole = {
            name: np.concatenate([empty, *(arrays[name] for arrays in self._arrays)])
            for name, empty in no_digest().arrays.items()
        }
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(whole.pop("size"))])
        self._arrays.clear()
        return {"start": starts, "near": np.empty((0, 2), np.int64), **whole}


def _move_in(temporary: Path, folder: Path) -> None:
    """Rename the finished store into place, unless another process was faster."""
    try:
        os.rename(temporary, folder)
    except OSError:
        with suppress(UserError):
            Store.open(folder)
            return
        if not folder.exists():
            raise
        remove(folder)
        os.rename(temporary, folder)


def write_problem(error: OSError, folder: Path) -> str:
    """A sentence about a store in `folder` that can't be written."""
    if error.errno == errno.ENOSPC:
        return (
            f"The disk is full: the checked copy of the data in {folder.parent} needs about as much room as "
            "the data itself. Free some space and check again."
        )
    return f"The checked copy of the data can't be written to {folder.parent}: {error.strerror or error}."
