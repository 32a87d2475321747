"""Records: what was written comes back; anything else is none, or a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import UserError
from core.base.records import decode, decode_all, read_if_whole, read_record, write_record


@dataclass(frozen=True)
class Note:
    name: str
    size: int
    speed: float = 0.0
    file: Path | None = None
    stages: dict[str, float] = field(default_factory=dict)


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    note = Note("a", 1, 2, tmp_path / "x", {"merge": 1.5})
    write_record(tmp_path / "note.json", note)
    assert read_record(tmp_path / "note.json", Note) == note
    assert read_record(tmp_path / "none.json", Note) is None
    assert decode({"name": "a", "size": 1, "of a later version": 2}, Note) == Note("a", 1)


@pytest.mark.parametrize("text", ["[]", "null and void", '{"name": "a"}', '{"name": "a", "size": "many"}'])
def test_a_damaged_record_is_a_sentence_or_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "note.json").write_text(text)
    with pytest.raises(UserError, match=r"note\.json is damaged"):
        read_record(tmp_path / "note.json", Note)
    assert read_if_whole(tmp_path / "note.json", Note) is None


@pytest.mark.parametrize("size", [True, 1.5, "1", None, [1]])
def test_a_damaged_one_costs_only_itself(size: Any) -> None:
    assert decode_all([{"name": "a", "size": size}, {"name": "b", "size": 2}, 7], Note) == [Note("b", 2)]
    assert decode_all({"name": "a"}, Note) == []
