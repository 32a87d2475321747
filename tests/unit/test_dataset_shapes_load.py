"""A whole file as conversations: counts, shapes and what was noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.dataset.shapes import load_conversations
from core.errors import UserError

GOOD = {"question": "Why?", "answer": "Because."}


def load(folder: Path, *records: dict[str, Any]) -> Any:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return load_conversations(path)


def test_an_unusable_row_is_counted_with_its_reason(tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD, {"question": "Why?", "answer": None}, GOOD)
    assert [row.where for row in loaded.conversations] == ["line 1", "line 3"]
    assert [problem.where for problem in loaded.problems if problem.dropped] == ["line 2"]
    assert loaded.rows_read == 3
    with pytest.raises(UserError, match="no usable row among 1 row: .* 1 has"):
        load(tmp_path, {"question": "Why?"})


def test_what_is_not_supported_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.jsonl, line 2 holds .*\.$"):
        load(tmp_path, GOOD, {**GOOD, "image": "cat.png"}, GOOD)


def test_a_mixture_is_said_with_numbers(tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD, GOOD, {"instruction": "a", "output": "b", "id": "7"})
    assert loaded.shape == "mixed: question/answer (2 rows), alpaca (1 rows)"
    assert loaded.unused == ["id"]


def test_the_order_of_roles_is_noted_and_kept(tmp_path: Path) -> None:
    turns = [{"role": role, "content": "x"} for role in ("assistant", "user", "user", "system", "user")]
    loaded = load(tmp_path, {"messages": turns})
    assert loaded.conversations[0].messages == turns
    assert {problem.kind for problem in loaded.problems} >= {
        "late system",
        "assistant first",
        "ends on user",
        "repeated role",
    }
    assert not any(problem.dropped for problem in loaded.problems)
