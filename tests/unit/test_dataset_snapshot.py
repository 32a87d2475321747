"""The run's copy of its data: what goes in comes out, nothing is hidden, and the held-out split is fair."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.base.files import sha256_file
from core.base.home import SAMPLE_DATA
from core.data import ChatTokenizer, prepare_snapshot, read_report, read_snapshot
from core.data.scan import scan
from core.data.snapshot import choose, groups_of, split_heldout, wanted
from core.data.store import RowFile, Store
from tests.unit.datasets import pairs, store_of


def snapshot(
    folder: Path, store: Store, heldout: Store | None = None, **options: Any
) -> tuple[RowFile, RowFile, dict[str, Any]]:
    """(train, held-out, report) as they are read again."""
    terms = {"share": 0.05, "seed": 3, "max_length": 512, **options}
    prepare_snapshot(folder / "data", store, heldout, **terms)
    return *read_snapshot(folder / "data"), read_report(folder / "data")


def test_a_snapshot_comes_back_as_it_was_written(tmp_path: Path) -> None:
    rows = [{**row, "question": f"é\u2028 {n}?"} for n, row in enumerate(pairs(60))]
    store = store_of(tmp_path, rows)
    train, heldout, _ = snapshot(tmp_path, store)
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
    rows, _, _ = snapshot(tmp_path, store_of(tmp_path, pairs(60)))
    assert rows[0] == next(iter(rows)) and rows[-1] == list(rows)[43] and rows[2:4] == list(rows)[2:4]
    with pytest.raises(IndexError):
        rows[44]


def test_the_report_counts_what_was_dropped(tmp_path: Path) -> None:
    rows = pairs(30)
    rows[1]["question"] = ""
    store = store_of(tmp_path, rows)
    report = snapshot(tmp_path, store)[2]
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
    train, kept_back, report = snapshot(tmp_path, store, fixes=fixes)
    rows = [*train, *kept_back]
    assert len(rows) == 11 and report["fixes"] == fixes
    assert "@" not in json.dumps([row.messages for row in rows])


def test_an_own_heldout_file_is_taken_and_not_learned(tmp_path: Path) -> None:
    store = store_of(tmp_path, pairs(3))
    heldout = store_of(tmp_path, [*pairs(1, 1), *pairs(1, 70)], name="held.jsonl")
    train, kept_back, report = snapshot(tmp_path, store, heldout, share=0.5)
    assert [row.where for row in train] == ["line 1", "line 3"]
    assert [row.messages for row in kept_back] == [row.messages for row in heldout.read()]
    kinds = {item["kind"]: item["rows"] for item in report["problems"]}
    assert kinds["held-out leak"] == ["line 2"]
    assert report["heldout_report"]["sha256"] == sha256_file(tmp_path / "held.jsonl")


def test_data_that_is_all_held_out_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path, pairs(3))
    with pytest.raises(UserError, match="also stand"):
        snapshot(tmp_path, store, store)


def test_one_row_trains_and_holds_nothing_out(tmp_path: Path) -> None:
    train, heldout, _ = snapshot(tmp_path, store_of(tmp_path, pairs(1)))
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


@settings(max_examples=60)
@given(groups=st.lists(st.integers(0, 60), max_size=200), seed=st.integers(0, 5), share=st.floats(0, 0.5))
def test_groups_are_never_torn_and_bounds_are_kept(groups: list[int], seed: int, share: float) -> None:
    named = np.array([groups.index(group) for group in groups], np.int64)
    lengths = np.array([10 + group % 7 for group in groups], np.uint32)
    left = wanted(len(groups), share)
    chosen = choose(named, lengths, left, seed)
    assert not set(named[chosen]) & set(named[~chosen])
    assert chosen.sum() <= left <= len(groups) // 2
    assert np.array_equal(chosen, choose(named, lengths, left, seed))


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        *[(0, 0), (1, 0), (2, 0), (10, 2), (32, 6), (39, 7)],
        *[(40, 16), (100, 16), (320, 16), (1000, 50), (20_000, 512)],
    ],
)
def test_how_many_are_held_out(count: int, expected: int) -> None:
    rows = np.arange(count)
    assert wanted(count, 0.05) == expected
    assert choose(rows, rows.astype(np.uint32), expected, seed=1).sum() == expected


def test_groups_are_named_by_rows_that_others_were_left_out_before() -> None:
    """Rows keep their numbers when a fix leaves some out, so a name may be larger than the count."""
    assert choose(np.arange(50, 150), np.arange(100, dtype=np.uint32), 16, seed=1).sum() == 16


def test_no_share_holds_nothing_out() -> None:
    assert wanted(100, 0) == 0


def test_both_sides_have_short_and_long_rows() -> None:
    lengths = np.array(random.Random(3).choices(range(1000), k=1000), np.uint32)
    for seed in range(5):
        chosen = choose(np.arange(1000), lengths, 50, seed)
        drawn, all_of_them = np.sort(lengths[chosen]), np.sort(lengths)
        # one row of every twenty neighbours by length
        assert np.all(np.searchsorted(all_of_them, drawn, "right") >= np.arange(50) * 20)
        assert np.all(np.searchsorted(all_of_them, drawn, "left") < np.arange(1, 51) * 20)


def test_a_large_group_is_passed_over_and_others_take_its_place() -> None:
    groups = np.array([0] * 60 + list(range(60, 100)), np.int64)
    chosen = choose(groups, np.ones(100, np.uint32), 16, seed=2)
    assert chosen.sum() == 16 and not chosen[:60].any()


def test_copies_and_near_copies_stay_together(tmp_path: Path) -> None:
    long = "the quick brown fox jumps over the lazy dog while nobody at all looks on this fine day " * 2
    near = [{"question": "Tell me.", "answer": long + end} for end in ("indeed", "today", "ever so")]
    store = store_of(tmp_path, [*pairs(3), *near, pairs(1)[0]])
    groups = groups_of(store, np.arange(7))
    assert groups[0] == groups[6] and groups[3] == groups[4] == groups[5]
    assert len(set(groups)) == 4


def test_rows_that_a_fix_makes_alike_stay_together(tmp_path: Path) -> None:
    asked = [{"question": "Where?", "answer": f"Ask {name}@example.com about it."} for name in ("ann", "bob")]
    store = store_of(tmp_path, [*asked, *pairs(2)])
    assert len(set(groups_of(store, np.arange(4)))) == 4
    assert len(set(groups_of(store, np.arange(4), ["e-mail addresses"]))) == 3


@pytest.fixture
def hundred(tmp_path: Path) -> Store:
    return store_of(tmp_path, pairs(100))


def test_nothing_is_lost_and_another_seed_holds_out_others(hundred: Store) -> None:
    train, heldout = split_heldout(hundred, np.arange(100), 1, 0.05)
    assert len(heldout) == 16 and np.array_equal(np.union1d(train, heldout), np.arange(100))
    assert not np.array_equal(heldout, split_heldout(hundred, np.arange(100), 2, 0.05)[1])


def test_the_choice_does_not_touch_the_global_random_state(hundred: Store) -> None:
    random.seed(3)
    expected = random.random()
    random.seed(3)
    split_heldout(hundred, np.arange(100), 9, 0.05)
    assert random.random() == expected
