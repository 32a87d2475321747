"""The run's copy of its data: what goes in comes out, with a report that hides nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.dataset import (
    ChatTokenizer,
    load_conversations,
    prepare_snapshot,
    read_report,
    read_snapshot,
    split_heldout,
)
from core.errors import UserError
from core.files import sha256_file
from core.home import SAMPLE_DATA


def write_rows(path: Path, questions: list[str], answer: str = "a") -> Path:
    path.write_text("".join(json.dumps({"question": q, "answer": answer}) + "\n" for q in questions), "utf-8")
    return path


def test_a_snapshot_comes_back_as_it_was_written(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "data.jsonl", [f"é\u2028 {n}" for n in range(60)])
    made = prepare_snapshot(tmp_path / "data", source, seed=3)
    assert read_snapshot(tmp_path / "data") == (made.train, made.heldout)
    assert (made.train, made.heldout) == split_heldout(load_conversations(source).conversations, 3)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "heldout.jsonl",
        "report.json",
        "train.jsonl",
    ]
    again = load_conversations(tmp_path / "data" / "train.jsonl")
    assert [row.messages for row in again.conversations] == [row.messages for row in made.train]


def test_the_report_counts_what_was_dropped(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "data.jsonl", ["q", "", "r", " ", "s"])
    prepare_snapshot(tmp_path / "data", source, seed=3)
    report = read_report(tmp_path / "data")
    assert report["source"] == "data.jsonl" and report["sha256"] == sha256_file(source)
    assert report["shape"] == "question/answer"
    assert (report["rows_read"], report["rows_usable"]) == (5, 3)
    assert (report["train"], report["heldout"]) == (2, 1)
    assert report["dropped"] == [
        {
            "kind": "empty question",
            "reason": "has an empty question",
            "count": 2,
            "rows": ["line 2", "line 4"],
        }
    ]


def test_an_own_heldout_file_is_taken_and_not_learned(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "train.jsonl", ["a", "b", "c"])
    heldout = write_rows(tmp_path / "held.jsonl", ["b", "x"])
    made = prepare_snapshot(tmp_path / "data", source, heldout, share=0.5, seed=1)
    assert [row.messages[0]["content"] for row in made.train] == ["a", "c"]
    assert [row.messages[0]["content"] for row in made.heldout] == ["b", "x"]
    assert made.report["dropped"][0]["rows"] == ["line 2"]
    assert made.report["heldout_source"]["sha256"] == sha256_file(heldout)
    with pytest.raises(UserError, match="Every row"):
        prepare_snapshot(tmp_path / "other", heldout, heldout, seed=1)


def test_one_row_trains_and_holds_nothing_out(tmp_path: Path) -> None:
    made = prepare_snapshot(tmp_path / "data", write_rows(tmp_path / "x", ["a"]), seed=1)
    assert len(made.train) == 1
    assert read_snapshot(tmp_path / "data") == (made.train, [])


def test_a_changed_or_incomplete_snapshot_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with pytest.raises(UserError, match="no complete copy"):
        read_snapshot(folder)
    prepare_snapshot(folder, write_rows(tmp_path / "x", ["a", "b", "c"]), seed=1)
    with open(folder / "train.jsonl", "a", encoding="utf-8") as file:
        file.write("\n")
    with pytest.raises(UserError, match="was changed"):
        read_snapshot(folder)


def test_the_sample_dataset_is_what_its_readme_says(starter_tokenizer_folder: Path) -> None:
    train, heldout = (load_conversations(SAMPLE_DATA / f"{name}.jsonl") for name in ("train", "heldout"))
    assert (len(train.conversations), len(heldout.conversations)) == (134, 26)
    assert train.problems == heldout.problems == [] and train.shape == heldout.shape == "messages"
    turns = [message for row in train.conversations + heldout.conversations for message in row.messages]
    answers = [turn["content"] for turn in turns if turn["role"] == "assistant"]
    questions = [turn["content"] for turn in turns if turn["role"] == "user"]
    assert len(set(answers)) == len(answers) and len(set(questions)) == len(questions)
    assert all(text.startswith("Arr, matey! ") and text.endswith(" Fair winds to ye!") for text in answers)
    assert sum(len(row.messages) >= 4 for row in train.conversations) >= 20
    tokenizer = ChatTokenizer.load(starter_tokenizer_folder)
    encoded = [tokenizer.encode(row.messages) for row in train.conversations]
    assert all(row.reason is None and row.masked_turns == 0 for row in encoded)
    assert (sum(len(row.ids) for row in encoded), sum(row.trained for row in encoded)) == (8551, 3283)
    readme = (SAMPLE_DATA / "README.md").read_text("utf-8")
    assert "8,551 in all, 3,283 of them trained" in readme
