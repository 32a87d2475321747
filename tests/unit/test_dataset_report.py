"""The report: verdicts, sentences that name the row, token numbers, and the JSON that the command prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.base.errors import UserError
from core.data.kinds import KINDS
from core.data.measure import TokenTable, measure
from core.data.report import Problem, Report, offered_fixes, report, sentence_of
from core.data.scan import scan
from core.data.store import Store, Tally
from core.data.tokenize import ChatTokenizer
from tests.unit.datasets import pairs, store_of, write_rows

ISSUE_KEYS = {
    "verdict",
    "format",
    "encoding",
    "rows_read",
    "rows_usable",
    "rows_dropped",
    "problems",
    "tokens",
    "suggested_max_length",
    "sha256",
}


def judged(store: Store, **options: Any) -> Report:
    return report(store, **{"max_length": 512, **options})


def problem(found: Report, kind: str) -> Problem:
    return next(item for item in found.problems if item.kind == kind)


@pytest.fixture(scope="module")
def tokenizer(starter_tokenizer_folder: Path) -> ChatTokenizer:
    return ChatTokenizer.load(starter_tokenizer_folder)


def tokens_of(store: Store, tokenizer: ChatTokenizer) -> TokenTable:
    return measure(tokenizer, store.numbered(range(len(store))))


def test_clean_data_is_accepted(tmp_path: Path) -> None:
    found = judged(store_of(tmp_path, pairs(40)))
    assert (found.verdict, found.problems, found.rows_usable, found.rows_dropped) == ("accept", [], 40, 0)
    assert found.to_json().keys() >= ISSUE_KEYS and len(found.sha256) == 64


@pytest.mark.parametrize(
    ("row", "kind", "says"),
    [
        ('{"question": "a", "answer"', "unreadable row", "Line 41 is cut off"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "unknown role", "Line 41 has the role “wizard”"),
        ({"messages": [{"role": "system", "content": "x"}]}, "no answer", "Line 41 "),
        ({"messages": []}, "no messages", "Line 41 has an empty list"),
        ({"colour": "red"}, "unknown columns", "Line 41 "),
        ("[1, 2]", "unreadable row", "Line 41 "),
    ],
)
def test_an_error_rejects_until_its_fix_is_taken(tmp_path: Path, row: Any, kind: str, says: str) -> None:
    store = store_of(tmp_path, [*pairs(40), row])
    found = judged(store)
    item = problem(found, kind)
    assert found.verdict == "reject" and item.severity == "error" and item.rows == ["line 41"]
    assert item.message.startswith(says) and item.message.endswith(".")
    assert found.first_error == item.message
    mended = judged(store, fixes=[kind])
    assert mended.verdict != "reject" and problem(mended, kind).taken and mended.first_error == ""
    assert (mended.rows_usable, mended.rows_dropped) == (40, 1)


def test_warnings_are_counted_and_a_taken_fix_is_no_warning_any_more(tmp_path: Path) -> None:
    mail = {"question": "Who?", "answer": "Write to ann@example.com about all of this."}
    store = store_of(tmp_path, [*pairs(40), mail, {**mail, "question": "Whom?"}, pairs(1)[0]])
    found = judged(store)
    assert found.verdict == "warn"
    assert problem(found, "e-mail addresses").message.startswith("2 rows hold an e-mail address. Line 41: “")
    assert problem(found, "duplicates").message == "1 row stands more than once. Line 43: see line 1."
    fixes = offered_fixes(found.problems)
    assert sorted(fixes) == ["duplicates", "e-mail addresses"]
    assert judged(store, fixes=fixes).verdict == "accept"


def test_rows_that_are_left_out_anyway_are_dropped(tmp_path: Path) -> None:
    found = judged(store_of(tmp_path, [*pairs(40), {"question": "q", "answer": " "}]))
    assert (found.verdict, found.rows_usable, found.rows_dropped) == ("warn", 40, 1)
    assert problem(found, "empty answer").fix is None


@pytest.mark.parametrize(
    ("count", "verdict", "kind"), [(1, "warn", "few rows"), (5, "accept", "little data")]
)
def test_little_data_is_said(tmp_path: Path, count: int, verdict: str, kind: str) -> None:
    found = judged(store_of(tmp_path, pairs(count)))
    assert found.verdict == verdict and [item.kind for item in found.problems] == [kind]


def test_no_row_left_is_an_error_with_a_row_and_a_reason(tmp_path: Path) -> None:
    found = judged(store_of(tmp_path, [{"question": "q", "answer": ""}] * 3))
    assert found.verdict == "reject"
    assert found.first_error.startswith("No row is left to train on among 3 rows. 3 rows have an empty")
    assert "Line 1 has an empty answer" in found.first_error


def test_an_unreadable_file_is_an_error_with_its_own_sentence(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"")
    found = judged(scan([path, tmp_path / "gone.csv"], tmp_path / "store"))
    assert found.verdict == "reject" and "gone.csv" in found.first_error
    found = judged(scan([path], tmp_path / "store-2"))
    assert [item.kind for item in found.problems] == ["unreadable file"] and "empty" in found.first_error


def test_a_mixture_is_said_with_numbers(tmp_path: Path) -> None:
    chats = [
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": f"It is {n}."}]}
        for n in range(3)
    ]
    found = judged(store_of(tmp_path, [*pairs(30), *chats]))
    assert "question/answer (30 rows)" in found.shape and "(3 rows)" in found.shape
    assert problem(found, "mixed shapes").severity == "warning"


def test_rows_of_the_heldout_file_leave_the_training_rows(tmp_path: Path) -> None:
    store = store_of(tmp_path, pairs(40))
    other = store_of(tmp_path, [*pairs(2, first=38), *pairs(2, first=70)], name="held.jsonl")
    found = judged(store, heldout=other)
    assert (found.verdict, found.rows_usable, found.rows_dropped) == ("warn", 38, 2)
    assert problem(found, "held-out leak").rows == ["line 39", "line 40"]


def test_almost_the_same_row_in_the_heldout_file_is_a_leak(tmp_path: Path) -> None:
    long = "the quick brown fox jumps over the lazy dog while nobody at all looks on this fine day " * 2
    store = store_of(tmp_path, [*pairs(40), {"question": "Tell me.", "answer": long + "indeed"}])
    other = store_of(tmp_path, [{"question": "Tell me.", "answer": long}] * 2, name="held.jsonl")
    assert problem(judged(store, heldout=other), "held-out leak").rows == ["line 41"]


def test_a_bad_heldout_file_rejects_by_name(tmp_path: Path) -> None:
    other = store_of(tmp_path, ["{broken", *pairs(3, first=60)], name="held.jsonl")
    found = judged(store_of(tmp_path, pairs(40)), heldout=other)
    assert found.verdict == "reject"
    assert found.first_error.startswith("In the held-out file held.jsonl: Line 1 ")


def test_an_unknown_fix_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no fix called “magic”"):
        judged(store_of(tmp_path, pairs(3)), fixes=["magic"])


def test_token_numbers_and_what_is_cut(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    long = {"question": "Long?", "answer": "word " * 300}
    late = {"question": "late " * 300, "answer": "Yes, it is late by now."}
    store = store_of(tmp_path, [*pairs(40), long, late])
    tokens = tokens_of(store, tokenizer)
    found = judged(store, tokens=tokens, max_length=128)
    assert found.tokens is not None and found.tokens["max"] > 300 and found.tokens_measured == 42
    assert found.tokens["trained"] < found.tokens["total"]
    assert problem(found, "over-long").rows == ["line 41", "line 42"]
    cut = problem(found, "answer cut away")
    assert (cut.count, cut.rows) == (1, ["line 42"]) and "tokens" in cut.message
    assert (found.rows_usable, found.rows_dropped, found.verdict) == (41, 1, "warn")
    assert judged(store, tokens=tokens, max_length=1024).verdict == "accept"
    assert found.suggested_max_length and str(found.suggested_max_length) in found.suggested_reason


def test_a_sample_says_that_it_is_one(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    store = store_of(tmp_path, pairs(100))
    part = measure(tokenizer, store.numbered(range(50)))
    whole = judged(store, tokens=measure(tokenizer, store.numbered(range(100))))
    found = judged(store, tokens=part, max_length=16)
    assert found.tokens_measured == 50 and "in a sample of 50 rows" in problem(found, "over-long").message
    about = judged(store, tokens=part)
    assert about.tokens and whole.tokens
    assert about.tokens["total"] == pytest.approx(whole.tokens["total"], rel=0.05)


def test_every_answer_cut_away_rejects(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    store = store_of(tmp_path, [{**row, "question": "why " * 50} for row in pairs(30)])
    found = judged(store, tokens=tokens_of(store, tokenizer), max_length=32)
    assert found.verdict == "reject" and "whole answer" in found.first_error and "Choose" in found.first_error


def test_several_files_have_one_hash_and_one_list(tmp_path: Path) -> None:
    one, two = (
        write_rows(tmp_path / name, pairs(20, first)) for name, first in (("a.jsonl", 0), ("b.csv", 20))
    )
    two.write_text(
        "prompt,completion\n" + "".join(f"What is {n}?,It is {n} indeed.\n" for n in range(20)), "utf-8"
    )
    found = judged(scan([one, two], tmp_path / "store")).to_json()
    assert found["format"] == "jsonl, csv" and len(found["sha256"]) == 64
    assert [file["rows"] for file in found["files"]] == [20, 20]


def test_every_kind_can_be_said_of_one_row_and_of_many() -> None:
    for kind, entry in KINDS.items():
        if entry.about_rows:
            one = sentence_of(kind, Tally(1, ["line 3"], ["“x”"]))
            many = sentence_of(kind, Tally(2, ["line 3", "line 9"], ["“x”", "“y”"]))
            assert "Line 3: “x”." in one and many.startswith(f"2 rows {entry.says}. Line 3")
            assert " have " not in one and " are " not in one.replace("that are ", "")
