"""The run's own copy of its data: train.jsonl, heldout.jsonl, report.json, written once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.dataset.read import read_rows
from core.dataset.shapes import Conversation, Loaded, Problem, load_conversations
from core.dataset.split import DEFAULT_SHARE, split_heldout, without_shared
from core.errors import UserError
from core.files import read_json, sha256_file, write_atomic, write_json

_PLACES_KEPT = 10


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a run trains on and is measured on, and the report that says how it came about."""

    train: list[Conversation]
    heldout: list[Conversation]
    report: dict[str, Any]


def prepare_snapshot(
    folder: Path, source: Path, heldout_source: Path | None = None, *, share: float = DEFAULT_SHARE, seed: int
) -> Snapshot:
    """Read `source`, split it (or take the user's held-out file) and write both parts to `folder`.

    The report is written last and marks the snapshot complete. Raises UserError when the data can't be used
    or no row is left to train on.
    """
    loaded = load_conversations(source)
    report = _describe(source, loaded)
    if heldout_source is None:
        train, heldout = split_heldout(loaded.conversations, seed, share)
    else:
        loaded_heldout = load_conversations(heldout_source)
        heldout = loaded_heldout.conversations
        train, shared = without_shared(loaded.conversations, heldout)
        if not train:
            raise UserError(
                f"Every row of {source.name} also stands in {heldout_source.name}. "
                "Choose another held-out file."
            )
        report["dropped"] += _grouped(
            [Problem("held out", row.where, "also stands in the held-out file") for row in shared]
        )
        report["heldout_source"] = _describe(heldout_source, loaded_heldout)
    report |= {"train": len(train), "heldout": len(heldout)}
    for name, rows in (("train", train), ("heldout", heldout)):
        path = folder / f"{name}.jsonl"
        write_atomic(path, "".join(_line(row) for row in rows))
        report[f"{name}_sha256"] = sha256_file(path)
    write_json(folder / "report.json", report)
    return Snapshot(train, heldout, report)


def read_snapshot(folder: Path) -> tuple[list[Conversation], list[Conversation]]:
    """(train, held-out) as `prepare_snapshot` wrote them.

    A UserError says when the copy is missing, incomplete or was changed.
    """
    report = read_report(folder)
    for name in ("train", "heldout"):
        path = folder / f"{name}.jsonl"
        if not path.is_file() or sha256_file(path) != report[f"{name}_sha256"]:
            raise UserError(f"{path} was changed or lost since the run began. Start a new run.")
    return _rows(folder / "train.jsonl"), _rows(folder / "heldout.jsonl")


def read_report(folder: Path) -> dict[str, Any]:
    """What `prepare_snapshot` noted: source, sha256, shape, counts, rows dropped and noted with reasons."""
    report = read_json(folder / "report.json")
    if report is None:
        raise UserError(f"{folder} holds no complete copy of the data. Start a new run.")
    return report


def _line(row: Conversation) -> str:
    return json.dumps({"messages": row.messages, "where": row.where}, ensure_ascii=False) + "\n"


def _rows(path: Path) -> list[Conversation]:
    if not path.stat().st_size:
        return []
    return [Conversation(row.data["messages"], row.data["where"]) for row in read_rows(path)]


def _describe(source: Path, loaded: Loaded) -> dict[str, Any]:
    return {
        "source": source.name,
        "sha256": loaded.sha256,
        "shape": loaded.shape,
        "rows_read": loaded.rows_read,
        "rows_usable": len(loaded.conversations),
        "unused_columns": loaded.unused,
        "dropped": _grouped([problem for problem in loaded.problems if problem.dropped]),
        "noted": _grouped([problem for problem in loaded.problems if not problem.dropped]),
    }


def _grouped(problems: list[Problem]) -> list[dict[str, Any]]:
    """One entry per kind and reason: how many rows, and where the first ten stand."""
    places: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        places.setdefault((problem.kind, problem.reason), []).append(problem.where)
    return [
        {"kind": kind, "reason": reason, "count": len(where), "rows": where[:_PLACES_KEPT]}
        for (kind, reason), where in places.items()
    ]
