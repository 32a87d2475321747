"""Data as people have it: what each kind of file is taken for, and what its one-click repair makes of it.

`tests/data/cases/expected.json` says it for each file: verdict, problems (but notes) with their counts, and
for a choice of fixes the verdict, the number of rows and the first ones as (role, text) pairs; “-” before a
role means that the answer is read, not trained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.data.cleaned import save_cleaned
from core.data.report import report
from core.data.scan import scan
from core.data.shapes import Message
from core.data.store import Store
from core.data.tokenize import ChatTokenizer

CASES = Path(__file__).parents[1] / "data" / "cases"
EXPECTED: dict[str, Any] = json.loads((CASES / "expected.json").read_text("utf-8"))


def pairs(messages: list[Message]) -> list[list[str]]:
    return [["-" * ("weight" in one) + one["role"], one["content"]] for one in messages]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_case_is_recognised_and_mended(name: str, tmp_path: Path) -> None:
    store = scan([CASES / name], tmp_path / "store")
    expected = EXPECTED[name]
    first = report(store, max_length=1024)
    told = {item.kind: item.count for item in first.problems if item.severity != "note"}
    assert (first.verdict, told) == (expected["verdict"], expected["problems"])
    for choice in expected["choices"]:
        fixes = choice["fixes"]
        after = report(store, max_length=1024, fixes=fixes)
        rows = [pairs(row.messages) for row in store.rows(fixes)]
        assert (after.verdict, len(rows)) == (choice["verdict"], choice["rows"])
        assert rows[: len(choice["first"])] == choice["first"]
        copy = save_cleaned(store, fixes, tmp_path / "copy.jsonl")
        again = scan([copy.file], tmp_path / f"again{len(fixes)}{fixes}")
        assert [pairs(row.messages) for row in again.rows()] == rows


def trained(tokenizer: ChatTokenizer, store: Store, number: int) -> str:
    encoded = tokenizer.encode(store.row(number).messages)
    return "".join(piece.text for piece in encoded.pieces if piece.trained)


def test_answers_that_are_only_read_have_no_labels(starter_tokenizer_folder: Path, tmp_path: Path) -> None:
    store = scan([CASES / "weights.jsonl"], tmp_path / "store")
    tokenizer = ChatTokenizer.load(starter_tokenizer_folder)
    for number in range(len(store)):
        text = trained(tokenizer, store, number)
        assert "wrong" not in text and "no idea" not in text
        assert text.count("<|im_end|>") == 1
        unmarked = [{"role": one["role"], "content": one["content"]} for one in store.row(number).messages]
        assert tokenizer.encode(store.row(number).messages).ids == tokenizer.encode(unmarked).ids


def test_messages_without_a_chat_are_not_made_one(tmp_path: Path) -> None:
    """Two rows with no id belong to no chat, least of all to the same one."""
    said = [("a", "user", "Hi"), ("a", "assistant", "Ho"), (None, "user", "Lost"), ("", "assistant", "Too")]
    rows = [{"conversation_id": chat, "role": role, "content": text} for chat, role, text in said]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    store = scan([file], tmp_path / "store")
    assert [pairs(row.messages) for row in store.rows()] == [[["user", "Hi"], ["assistant", "Ho"]]]
    assert store.summary.rows_read == 3
