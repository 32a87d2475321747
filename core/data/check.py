"""Checks of data: a job scans it and measures its tokens; the result is kept for as long as the files stay.

A check's folder, `home/datasets/.checked/<key>`, is the job's folder (`core.base.jobs`) and holds the store
and the token tables. The key is made of the files' names, sizes, times and the column roles, so changed
data is another check; the oldest checks are deleted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from core.base.errors import Stopped, UserError
from core.base.files import aside, remove, sweep
from core.base.home import Home
from core.base.jobs import JobState, read_job, request_stop, start_job
from core.base.records import read_if_whole, write_record
from core.data.measure import TokenTable, measure, sample_rows
from core.data.read import expand, file_of
from core.data.scan import ScanProgress, scan, write_problem
from core.data.shapes import check_mapping
from core.data.store import ROWS, SUMMARY, VERSION, Store
from core.data.tokenize import ChatTokenizer

KEPT = 8
MOST_BYTES = 4 * 1024**3
WORKER = "core.data.check_worker"


@dataclass(frozen=True)
class Question:
    """What to check: files or folders, what their columns are, the files that are held out, and those that
    are left aside, whose rows are only counted.

    model: a model folder to measure tokens with (None: none yet), `template` the chat template to render
    with, and `exact` to measure every row instead of a sample.
    """

    paths: list[Path]
    columns: dict[str, str] = field(default_factory=dict)
    heldout: list[Path] = field(default_factory=list)
    model: Path | None = None
    template: str = "auto"
    exact: bool = False
    aside: list[Path] = field(default_factory=list)

    def of_heldout(self) -> Question:
        """The same asked of the held-out files."""
        return replace(self, paths=self.heldout, heldout=[], aside=[])


@dataclass(frozen=True)
class CheckState:
    """How the check of one question goes.

    While it runs, `job.stage` is “reading”, “comparing” or “measuring”, `job.progress` 0..1 or None, and
    `job.fields` holds bytes, total, rows and rows_per_s. store, heldout and tokens are there as soon as all
    of what they are made from is known; aside and heldout_tokens may come later. `missing`: what was asked
    for is not all there.
    """

    job: JobState
    store: Store | None
    heldout: Store | None
    tokens: TokenTable | None
    missing: bool
    asked: bool
    aside: Store | None = None
    heldout_tokens: TokenTable | None = None

    @property
    def failure(self) -> str:
        """Why this question's check ended without an answer; empty while it runs or is fine."""
        ended = self.missing and self.asked and not self.job.active and self.job.status != "none"
        return (self.job.message or "The check ended without a result. Check again.") if ended else ""


def start_check(home: Home, question: Question) -> Path:
    """Start the check unless it runs or everything is known already; its job folder."""
    job = check_folder(home, question)
    if read_check(home, question).missing and not read_job(job).active:
        clear_old(home, keep=job)
        write_record(job / "question.json", question)
        start_job(job, WORKER, ["--home", str(home.root)])
    return job


def read_check(home: Home, question: Question) -> CheckState:
    """How the check of `question` goes, and what is known by now."""
    job = check_folder(home, question)
    # the state is read first: what was made before it said “done” is then seen, too
    state = read_job(job)
    store = _store_in(job)
    heldout = open_store(home, question.heldout, question.columns) if question.heldout else None
    aside = open_store(home, question.aside, question.columns) if question.aside else None
    if question.heldout and heldout is None:
        store = None
    tokens = open_tokens(job, question) if store is not None else None
    held = question.of_heldout()
    held_tokens = open_tokens(check_folder(home, held), held) if heldout is not None else None
    uncounted = tokens is None or (heldout is not None and held_tokens is None)
    unseen = bool(question.aside) and aside is None
    missing = store is None or unseen or (question.model is not None and uncounted)
    asked = read_if_whole(job / "question.json", Question) == question
    return CheckState(state, store, heldout, tokens, missing, asked, aside, held_tokens)


def stop_check(home: Home, question: Question) -> None:
    """Ask the check to end; nothing half is left of it."""
    request_stop(check_folder(home, question))


def check_folder(home: Home, question: Question) -> Path:
    """The job folder of this question."""
    return _folder(home, question.paths, question.columns)


def open_store(home: Home, paths: list[Path], columns: dict[str, str]) -> Store | None:
    """The finished store of this data, if it was scanned already."""
    return _store_in(_folder(home, paths, columns))


def _store_in(folder: Path) -> Store | None:
    try:
        return _opened(folder / "store", (folder / "store" / SUMMARY).stat().st_mtime_ns)
    except (OSError, UserError):
        return None


def ensure_store(
    home: Home,
    paths: list[Path],
    columns: dict[str, str] | None = None,
    say: Callable[[ScanProgress], None] = lambda progress: None,
    stop: Callable[[], object] = lambda: False,
) -> Store:
    """The store of this data, scanned now if it was not before. A UserError if the files change meanwhile."""
    columns = columns or {}
    folder = _folder(home, paths, columns)
    store = _store_in(folder)
    if store is not None:
        with suppress(OSError):
            os.utime(folder)
        return store
    clear_old(home, keep=folder)
    store = scan(paths, folder / "store", columns, say, stop)
    if _folder(home, paths, columns) != folder:
        remove(folder / "store")
        raise UserError("The data changed while it was read. Check it again when nothing writes to it.")
    return _store_in(folder) or store


def check_columns(store: Store, columns: dict[str, str]) -> None:
    """A UserError if the data has no such column, or if no row can become anything by this mapping."""
    if columns and store.summary.columns:
        check_mapping(columns, store.summary.columns)


def ensure_tokens(
    home: Home,
    question: Question,
    store: Store,
    say: Callable[[int, int], None] = lambda done, total: None,
    stop: Callable[[], object] = lambda: False,
) -> TokenTable | None:
    """The token table that the question asks for, measured now if it was not before; None without a model.

    Raises Stopped when `stop` says so.
    """
    job = check_folder(home, question)
    table = open_tokens(job, question)
    if table is not None or question.model is None:
        return table
    tokenizer = ChatTokenizer.load(question.model, question.template)
    everything = np.arange(len(store))
    numbers = everything if question.exact else sample_rows(everything)
    total = len(numbers)
    table = measure(
        tokenizer,
        store.numbered(numbers),
        total=total,
        say=lambda done: say(done, total),
        stop=stop,
    )
    if table.rows_measured < total:
        raise Stopped
    try:
        table.save(_tokens_file(job, question, total == len(everything)))
    except OSError as error:
        raise UserError(write_problem(error, job)) from error
    return table


def open_tokens(job: Path, question: Question) -> TokenTable | None:
    """The best table that was measured with the question's model and template, if it is good enough."""
    if question.model is None:
        return None
    for exact in (True, False) if not question.exact else (True,):
        file = _tokens_file(job, question, exact)
        with suppress(UserError, OSError):
            return _loaded(file, file.stat().st_mtime_ns)
    return None


def _tokens_file(job: Path, question: Question, exact: bool) -> Path:
    assert question.model is not None
    names = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")
    facts = [str(question.model.resolve()), [_stamp(question.model / name) for name in names]]
    return job / f"tokens-{_hashed([facts, question.template])}-{'all' if exact else 'sample'}.npz"


def _folder(home: Home, paths: list[Path], columns: dict[str, str]) -> Path:
    try:
        # a folder of many files is asked for by every page: what stands above them is resolved once
        real = cache(os.path.realpath)
        files = [[os.path.join(real(path.parent), path.name), *_stamp(path)] for path in expand(paths)]
    except UserError as refusal:
        files = [[*map(str, paths), str(refusal)]]
    key = _hashed([VERSION, files, sorted(columns.items())])
    return home.datasets / ".checked" / key


def _stamp(path: Path) -> list[Any]:
    """What tells a file from itself after a change."""
    try:
        status = file_of(path).stat()
    except OSError:
        return [None]
    return [status.st_size, status.st_mtime_ns]


def _hashed(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


@lru_cache(maxsize=8)
def _loaded(file: Path, modified: int) -> TokenTable:
    return TokenTable.load(file)


@lru_cache(maxsize=8)
def _opened(folder: Path, modified: int) -> Store:
    return Store.open(folder)


def clear_old(home: Home, keep: Path) -> None:
    """Delete all but the newest checks, and large ones sooner; one that runs, and `keep`, stay."""
    sweep(home.datasets / ".checked")
    checks = [path for path in (home.datasets / ".checked").glob("[0-9a-f]*") if path != keep]
    checks.sort(key=_last_used, reverse=True)
    kept, room = 1, MOST_BYTES
    for folder in checks:
        room -= _bytes(folder)
        if (kept < KEPT and room > 0) or read_job(folder).active:
            kept += 1
            continue
        # a reader may have a file open (Windows): what can't be renamed is kept
        with suppress(OSError):
            gone = aside(folder)
            os.rename(folder, gone)
            remove(gone)


def _last_used(folder: Path) -> float:
    with suppress(OSError):
        return folder.stat().st_mtime
    return 0.0


def _bytes(folder: Path) -> int:
    with suppress(OSError):
        return (folder / "store" / ROWS).stat().st_size
    return 0
