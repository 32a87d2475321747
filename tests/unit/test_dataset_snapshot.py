"""The run's copy of its data: what goes in comes out, with a report that hides nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import UserError
from core.base.files import sha256_file
from core.base.home import SAMPLE_DATA
from core.data import ChatTokenizer, prepare_snapshot, read_report, read_snapshot
from core.data.scan import scan
from core.data.snapshot import Snapshot
from core.data.store import RowFile, Store
from tests.unit.datasets import pairs, store_of


def snapshot(folder: Path, store: Store, heldout: Store | None = None, **options: Any) -> Snapshot:
    return prepare_snapshot(
        folder / "data", store, heldout, **{"share": 0.05, "seed": 3, "max_length": 512, **options}
    )


def test_a_snapshot_comes_back_as_it_was_written(tmp_path: Path) -> None:
    rows = [{**row, "question": f"é\u2028 {n}?"} for n, row in enumerate(pairs(60))]
    store = store_of(tmp_path, rows)
    made = snapshot(tmp_path, store)
    train, heldout = read_snapshot(tmp_path / "data")
    assert list(train) == list(made.train) and list(heldout) == list(made.heldout)
    assert (len(train), len(heldout)) == (44, 16)
    together = sorted([*train, *heldout], key=lambda row: int(row.where.split()[1]))
    assert together == list(store.read())
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "heldout.jsonl",
        "report.json",
        "train.jsonl",
    ]
    again = scan([tmp_path / "data" / "train.jsonl"], tmp_path / "again")
    assert [row.messages for row in again.read()] == [row.messages for row in train]


def test_rows_are_read_one_by_one(tmp_path: Path) -> None:
    snapshot(tmp_path, store_of(tmp_path, pairs(60)))
    rows = RowFile(tmp_path / "data" / "train.jsonl")
    assert rows[0] == next(iter(rows)) and rows[-1] == list(rows)[43] and rows[2:4] == list(rows)[2:4]
    with pytest.raises(IndexError):
        rows[44]


def test_the_report_counts_what_was_dropped(tmp_path: Path) -> None:
    rows = pairs(30)
    rows[1]["question"] = ""
    store = store_of(tmp_path, rows)
    snapshot(tmp_path, store)
    report = read_report(tmp_path / "data")
    assert report["files"][0]["name"] == "data.jsonl"
    assert report["sha256"] == sha256_file(tmp_path / "data.jsonl")
    assert (report["rows_read"], report["rows_usable"]) == (30, 29)
    assert report["train"] + report["heldout"] == 29
    assert [(item["kind"], item["rows"]) for item in report["problems"]] == [("empty question", ["line 2"])]


def test_fixes_are_in_the_copy(tmp_path: Path) -> None:
    mail = {"question": "Who?", "answer": "Write to ann@example.com about all of this."}
    store = store_of(tmp_path, [*pairs(10), mail, "{broken", pairs(1)[0]])
    with pytest.raises(UserError, match="data.jsonl, line 12 "):
        snapshot(tmp_path, store)
    assert not (tmp_path / "data").exists()
    fixes = ["unreadable row", "e-mail addresses", "duplicates"]
    made = snapshot(tmp_path, store, fixes=fixes)
    rows = [*made.train, *made.heldout]
    assert len(rows) == 11 and made.report["fixes"] == fixes
    assert "@" not in json.dumps([row.messages for row in rows])


def test_an_own_heldout_file_is_taken_and_not_learned(tmp_path: Path) -> None:
    store = store_of(tmp_path, pairs(3))
    heldout = store_of(tmp_path, [*pairs(1, 1), *pairs(1, 70)], name="held.jsonl")
    made = snapshot(tmp_path, store, heldout, share=0.5)
    assert [row.where for row in made.train] == ["line 1", "line 3"]
    assert [row.messages for row in made.heldout] == [row.messages for row in heldout.read()]
    kinds = {item["kind"]: item["rows"] for item in made.report["problems"]}
    assert kinds["held-out leak"] == ["line 2"]
    assert made.report["heldout_report"]["sha256"] == sha256_file(tmp_path / "held.jsonl")


def test_data_that_is_all_held_out_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path, pairs(3))
    with pytest.raises(UserError, match="also stand"):
        snapshot(tmp_path, store, store)


def test_one_row_trains_and_holds_nothing_out(tmp_path: Path) -> None:
    snapshot(tmp_path, store_of(tmp_path, pairs(1)))
    train, heldout = read_snapshot(tmp_path / "data")
    assert (len(train), len(heldout)) == (1, 0)


def test_a_changed_or_incomplete_snapshot_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with pytest.raises(UserError, match="no complete copy"):
        read_snapshot(folder)
    snapshot(tmp_path, store_of(tmp_path, pairs(3)))
    with open(folder / "train.jsonl", "a", encoding="utf-8") as file:
        file.write("\n")
    with pytest.raises(UserError, match="was changed"):
        read_snapshot(folder)


def test_the_sample_dataset_is_what_its_readme_says(tmp_path: Path, starter_tokenizer_folder: Path) -> None:
    train, heldout = (scan([SAMPLE_DATA / f"{name}.jsonl"], tmp_path / name) for name in ("train", "heldout"))
    assert (len(train), len(heldout)) == (134, 26)
    assert train.summary.tallies == heldout.summary.tallies == {}
    assert train.summary.shapes == {"messages": 134}
    turns = [message for store in (train, heldout) for row in store.read() for message in row.messages]
    answers = [turn["content"] for turn in turns if turn["role"] == "assistant"]
    questions = [turn["content"] for turn in turns if turn["role"] == "user"]
    assert len(set(answers)) == len(answers) and len(set(questions)) == len(questions)
    assert all(text.startswith("Arr, matey! ") and text.endswith(" Fair winds to ye!") for text in answers)
    assert (train.turns >= 4).sum() >= 20
    tokenizer = ChatTokenizer.load(starter_tokenizer_folder)
    encoded = [tokenizer.encode(row.messages) for row in train.read()]
    assert all(row.reason is None and row.masked_turns == 0 for row in encoded)
    assert (sum(len(row.ids) for row in encoded), sum(row.trained for row in encoded)) == (8551, 3283)
    readme = (SAMPLE_DATA / "README.md").read_text("utf-8")
    assert "8,551 in all, 3,283 of them trained" in readme
