"""One pass over any data: read, recognise, inspect, and write what comes of it into a store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from core.base.cores import usable_cores
from core.base.errors import Stopped, UserError, disk_sentence
from core.base.files import replacement, sha256_file, sweep
from core.base.records import write_record
from core.data.compare import compare
from core.data.digest import Digest, digest_block, no_digest
from core.data.helpers import Helpers
from core.data.kinds import BITS
from core.data.read import Block, expand, file_of, open_source, size_of
from core.data.store import INDEX, REFUSED, ROWS, SUMMARY, FileFacts, Store, Summary, Tally

# so many rows of a file without a value make a column that has one later worth a word
LATE = 1000
MOST_WORKERS = 4
# below this many bytes a process of its own takes longer to start than the work does
SMALL = 16 * 1024 * 1024
_SAY_EVERY_S = 0.3


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far a scan is. stage: “reading” (bytes of total, rows) or “comparing” (for near-duplicates)."""

    stage: str
    file: str
    bytes: int
    total: int
    rows: int
    rows_per_s: int


def scan(
    paths: list[Path],
    folder: Path,
    columns: dict[str, str] | None = None,
    say: Callable[[ScanProgress], None] = lambda progress: None,
    stop: Callable[[], object] = lambda: False,
) -> Store:
    """Read `paths` (files, folders) once and make a store of them in `folder`, whole or not at all.

    What is wrong with a file or a row is noted in the store, never raised. Raises Stopped, and UserError
    when the store can't be written. A store that another process made there meanwhile is left.
    """
    try:
        sweep(folder.parent)
        with replacement(folder, keep=_is_whole, flush=False) as temporary:
            temporary.mkdir()
            _fill(temporary, paths, columns or {}, say, stop)
    except OSError as error:
        raise UserError(write_problem(error, folder)) from error
    except BrokenProcessPool as error:
        raise UserError(
            "A process of the check was killed, most often because memory ran out. "
            "Close other programs and check the data again."
        ) from error
    return Store.open(folder)


def _fill(
    folder: Path,
    paths: list[Path],
    columns: dict[str, str],
    say: Callable[[ScanProgress], None],
    stop: Callable[[], object],
) -> None:
    files, failure = _expanded(paths)
    total = sum(map(size_of, files))
    workers = min(MOST_WORKERS, usable_cores()) if total > SMALL else 1
    with (
        open(folder / ROWS, "wb", buffering=1 << 20) as rows,
        open(folder / REFUSED, "wb", buffering=1 << 20) as refused,
        Helpers(workers) as helpers,
    ):
        book = _Book(rows, refused, total, say, stop)
        if failure:
            book.fail(_named(paths[0]) if paths else "", failure)
        for path in files:
            prefix = f"{_named(path)}, " if len(files) > 1 else ""
            digest = partial(digest_block, columns=columns, prefix=prefix)
            _read_file(path, partial(helpers.map, digest), book)
    np.savez(folder / INDEX, **book.arrays())  # pyright: ignore[reportArgumentType]
    compare(Store(folder, book.summary), lambda: book.progress("comparing", total))
    write_record(folder / SUMMARY, book.summary)


def _expanded(paths: list[Path]) -> tuple[list[Path], str]:
    """The files that `paths` stand for, and why there are none."""
    try:
        return expand(paths), ""
    except UserError as error:
        return [], str(error)


def _named(path: Path) -> str:
    """The file's name; one that is no valid text must not break what is written about it."""
    file = file_of(path)
    name = path.name if file == path else f"{file.name}/{path.relative_to(file).as_posix()}"
    return name.encode("utf-8", "replace").decode()


def _read_file(path: Path, digests: Callable[[Iterator[Block]], Iterator[Digest]], book: _Book) -> None:
    """One file into the book; what makes it unreadable is noted there."""
    book.begin(_named(path))
    facts = FileFacts(_named(path), str(path).encode("utf-8", "replace").decode(), size=size_of(path))
    try:
        source = open_source(path)
        facts = replace(
            facts, format=source.format.name, encoding=source.encoding, packed=source.packed, size=source.size
        )
        for digest in digests(_readable(source.blocks())):
            book.add(digest)
        facts = replace(facts, encoding=source.encoding, sha256=source.sha256)
    except UserError as error:
        book.fail(facts.name, str(error))
        with suppress(OSError):
            # a pipe would be waited for, a device has no end
            facts = replace(facts, sha256=sha256_file(path) if path.is_file() else "")
    book.end(facts)


def _readable(blocks: Iterator[Block]) -> Iterator[Block]:
    """The blocks; what the system says against reading on becomes a sentence."""
    try:
        yield from blocks
    except OSError as error:
        raise UserError(f"can't be read to its end: {error.strerror or error}. Check the disk.") from error


class _Book:
    """Takes the digests in order, writes their lines and keeps their arrays and counts."""

    def __init__(
        self,
        rows: BinaryIO,
        refused: BinaryIO,
        total: int,
        say: Callable[[ScanProgress], None],
        stop: Callable[[], object],
    ) -> None:
        self.summary = Summary()
        self._rows, self._refused = rows, refused
        self._total, self._say, self._stop = total, say, stop
        self._arrays: list[dict[str, NDArray[Any]]] = []
        self._file = ""
        self._filled: set[str] = set()
        self._rows_of_file = self._bytes_before = 0
        self._began = time.monotonic()
        self._last_report = 0.0

    def begin(self, name: str) -> None:
        self._file, self._rows_of_file = name, 0
        self._filled.clear()

    def end(self, facts: FileFacts) -> None:
        self.summary.files.append(replace(facts, rows=self._rows_of_file))
        self._bytes_before += facts.size

    def fail(self, name: str, sentence: str) -> None:
        """Note that the file called `name` can't be read (further), and why."""
        self.summary.failure = self.summary.failure or sentence
        self.summary.tallies.setdefault("unreadable file", Tally()).add(name, sentence)

    def add(self, digest: Digest) -> None:
        """Write one block's lines and add up what it counted."""
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
        for kind, tally in digest.tallies.items():
            summary.tallies.setdefault(kind, Tally()).merge(tally)
        self.progress("reading", self._bytes_before + digest.read)

    def progress(self, stage: str, done: int) -> None:
        """Say how far it is, a few times a second, and end here if that was asked for."""
        if self._stop():
            raise Stopped
        now = time.monotonic()
        if now - self._last_report >= _SAY_EVERY_S:
            self._last_report = now
            rows = self.summary.rows_read
            speed = round(rows / max(now - self._began, 1e-6))
            self._say(ScanProgress(stage, self._file, done, self._total, rows, speed))

    def _note_late_columns(self, digest: Digest) -> None:
        for name, (row, place, usable) in digest.first.items():
            if name in self._filled:
                continue
            self._filled.add(name)
            before = self._rows_of_file + row
            if before >= LATE:
                reason = f"“{name}”, after {before:,} rows without it"
                self.summary.tallies.setdefault("late column", Tally()).add(place, reason)
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


def _is_whole(folder: Path) -> bool:
    """Whether there is a store that another process made."""
    try:
        Store.open(folder)
    except UserError:
        return False
    return True


def write_problem(error: OSError, folder: Path) -> str:
    """A sentence about a store in `folder` that can't be written."""
    what = "The checked copy of the data, about as large as the data itself, could not be written"
    return disk_sentence(error, what, folder.parent, "check again")
