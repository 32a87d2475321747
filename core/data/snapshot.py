"""The run's own copy of its data: train.jsonl, heldout.jsonl, report.json, written once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.base.errors import UserError
from core.base.files import read_json, replacement, sha256_file, write_json
from core.data.compare import leaked
from core.data.report import report as judge
from core.data.shapes import Conversation
from core.data.split import split_heldout
from core.data.store import RowFile, Store, row_line

SNAPSHOT_REPORT = "report.json"
# some tenths of a second of work
_TICK_ROWS = 20_000
_PLACE = re.compile(r"[A-Z]\w* \d+ ")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a run trains on and is measured on, and the report that says how it came about."""

    train: Sequence[Conversation]
    heldout: Sequence[Conversation]
    report: dict[str, Any]


def prepare_snapshot(
    folder: Path,
    store: Store,
    heldout: Store | None = None,
    *,
    share: float,
    seed: int,
    fixes: Collection[str] = (),
    max_length: int,
    tick: Callable[[float], None] = lambda share: None,
) -> Snapshot:
    """Split the data (or take the user's held-out file) and write both parts to `folder`.

    The report is written last and marks the snapshot complete. A UserError says why the data can't be used:
    a problem whose fix was not taken, or no row left to train on. `tick` hears now and then which share of
    the rows is written, and may raise to end it.
    """
    report = judge(store, max_length=max_length, fixes=fixes, heldout=heldout)
    if report.verdict == "reject":
        raise UserError(refusal(store, report.first_error))
    numbers = store.select(fixes)
    if heldout is None:
        train, kept_back = split_heldout(store, numbers, seed, share, fixes)
        measured = store.mend(kept_back, fixes)
    else:
        train = np.setdiff1d(numbers, leaked(store, heldout, numbers, fixes))
        measured = heldout.rows(fixes)
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {
        "train_sha256": _write(folder / "train.jsonl", _ticking(store.mend(train, fixes), len(train), tick)),
        "heldout_sha256": _write(folder / "heldout.jsonl", measured),
    }
    rows = RowFile(folder / "train.jsonl"), RowFile(folder / "heldout.jsonl")
    record = {**report.to_json(), "train": len(rows[0]), "heldout": len(rows[1]), **hashes}
    if heldout is not None:
        record["heldout_report"] = judge(heldout, max_length=max_length, fixes=fixes).to_json()
    write_json(folder / SNAPSHOT_REPORT, record)
    return Snapshot(*rows, record)


def refusal(store: Store, sentence: str) -> str:
    """`sentence` with the name of the data's file in front, unless it names one already."""
    names = [file.name for file in store.summary.files]
    if not names or any(name in sentence for name in names):
        return sentence
    if _PLACE.match(sentence):
        return f"{names[0]}, {sentence[0].lower()}{sentence[1:]}"
    return f"{names[0]}: {sentence}"


def read_snapshot(folder: Path) -> tuple[RowFile, RowFile]:
    """(train, held-out) as `prepare_snapshot` wrote them.

    A UserError says when the copy is missing, incomplete or was changed.
    """
    report = read_report(folder)
    for name in ("train", "heldout"):
        path = folder / f"{name}.jsonl"
        if not path.is_file() or sha256_file(path) != report[f"{name}_sha256"]:
            raise UserError(f"{path} was changed or lost since the run began. Start a new run.")
    return RowFile(folder / "train.jsonl"), RowFile(folder / "heldout.jsonl")


def read_report(folder: Path) -> dict[str, Any]:
    """What `prepare_snapshot` noted: the report on the data, the rows of both parts, their SHA-256."""
    report = read_json(folder / SNAPSHOT_REPORT)
    if report is None:
        raise UserError(f"{folder} holds no complete copy of the data. Start a new run.")
    return report


def _ticking(
    rows: Iterable[Conversation], total: int, tick: Callable[[float], None]
) -> Iterator[Conversation]:
    for number, row in enumerate(rows):
        if number % _TICK_ROWS == 0:
            tick(number / total)
        yield row


def _write(path: Path, rows: Iterable[Conversation]) -> str:
    """Write the rows as JSON lines, whole or not at all; the SHA-256 of what was written."""
    digest = hashlib.sha256()
    with replacement(path) as temporary, open(temporary, "wb", buffering=1 << 20) as file:
        for row in rows:
            line = row_line(row)
            digest.update(line)
            file.write(line)
    return digest.hexdigest()
