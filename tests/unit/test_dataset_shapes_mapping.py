"""The mapping table: mapped columns win, impossible mappings are said, and the first guess makes sense."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.data.read import Row
from core.data.shapes import ROLES_OF_COLUMNS, Recognised, Refused, check_mapping, guess_columns, recognise


def read(data: dict[str, Any], columns: dict[str, str]) -> Recognised:
    found = recognise(Row(data, "line 1"), columns)
    assert isinstance(found, Recognised), found
    return found


def texts(data: dict[str, Any], columns: dict[str, str]) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in read(data, columns).messages]


def test_a_mapping_wins_over_the_names() -> None:
    data = {"question": "So.", "answer": "Why?", "Remark ": "Short.", "tools": "hammer", "id": "7"}
    columns = {"question": "assistant", "answer": "user", "remark": "system", "id": "ignore"}
    assert texts(data, columns) == [("system", "Short."), ("user", "Why?"), ("assistant", "So.")]
    assert read(data, columns).shape == "mapped columns"
    assert read(data, columns).unused == ["tools"]


def test_columns_of_one_role_are_joined_in_the_order_of_the_file() -> None:
    data = {"b": "Details.", "a": "Title", "x": "One.", "y": " ", "z": "Two."}
    columns = {"z": "assistant", "y": "assistant", "x": "assistant", "a": "user", "b": "user"}
    assert texts(data, columns) == [("user", "Details.\n\nTitle"), ("assistant", "One.\n\nTwo.")]
    both = {"b": "input", "a": "user", "x": "assistant"}
    assert texts(data, both)[0] == ("user", "Title\n\nDetails.")


def test_mapped_chats_history_and_text() -> None:
    turn = {"role": "assistant", "content": "So."}
    assert texts({"log": [turn], "s": "Hm."}, {"log": "messages", "s": "system"}) == [
        ("system", "Hm."),
        ("assistant", "So."),
    ]
    past = {"q": "Oh?", "a": "Yes.", "past": '[["Why?", "So."]]'}
    assert texts(past, {"q": "user", "a": "assistant", "past": "history"}) == [
        ("user", "Why?"),
        ("assistant", "So."),
        ("user", "Oh?"),
        ("assistant", "Yes."),
    ]
    assert texts({"one": "Once.", "two": "Upon."}, {"one": "text", "two": "text"}) == [
        ("text", "Once.\n\nUpon.")
    ]


def test_names_complete_a_mapping_that_makes_nothing_alone() -> None:
    alpaca = {"instruction": "Add.", "input": "1 2", "xyz": "3", "system": "Be brief."}
    for columns in ({"xyz": "assistant"}, {"XYZ ": "assistant", "output": "ignore"}):
        assert texts(alpaca, columns) == [
            ("system", "Be brief."),
            ("user", "Add.\n\n1 2"),
            ("assistant", "3"),
        ]
        check_mapping(columns, [*alpaca, "output"])
    judged = {"messages": [{"role": "assistant", "content": "So."}], "label": True}
    assert texts(judged, {"label": "ignore"}) == [("assistant", "So.")]
    assert texts(
        {"question": "Why?", "a1": "So.", "input": "x"}, {"question": "user", "a1": "assistant"}
    ) == [
        ("user", "Why?"),
        ("assistant", "So."),
    ]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"c": "x"}, "unknown columns"),
        ({"a": "x"}, "no answer"),
        ({"b": "x"}, "unknown columns"),
        ({"a": "x", "b": None}, "empty answer"),
    ],
)
def test_rows_without_the_mapped_columns(data: dict[str, Any], kind: str) -> None:
    found = recognise(Row(data, "line 1"), {"a": "user", "b": "assistant"})
    assert isinstance(found, Refused)
    assert found.kind == kind


GOOD = [
    {"x": "user", "y": "assistant"},
    {"x": "messages", "y": "system", "z": "ignore"},
    {"x": "text"},
    {"x": "history", "Y": "assistant"},
]
BAD = {
    "no role": ({"x": "teacher"}, "no role"),
    "no answer": ({"x": "user", "y": "ignore"}, "No column is mapped to the answer"),
    "nothing": ({}, "No column is mapped to the answer"),
    "no question": ({"x": "assistant"}, "no question"),
    "text and more": ({"x": "text", "y": "assistant"}, "Plain text"),
    "chats and more": ({"x": "messages", "y": "user"}, "whole chats"),
    "unknown column": ({"w": "user", "y": "assistant"}, "no column “w”"),
}


@pytest.mark.parametrize("columns", GOOD)
def test_a_mapping_that_makes_sense(columns: dict[str, str]) -> None:
    check_mapping(columns, ["x", "y", "z"])
    check_mapping(columns)


@pytest.mark.parametrize(("columns", "said"), BAD.values(), ids=BAD.keys())
def test_a_mapping_that_makes_nothing_is_said(columns: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        check_mapping(columns, ["x", "y", "z"])
    assert str(error.value).endswith(".")


LONG = "Because the rays are scattered by the air, and blue ones most of all."
GUESSES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "known words": (
        {"id": "1", "Customer question": "Why?", "Agent reply": "So."},
        {"id": "ignore", "Customer question": "user", "Agent reply": "assistant"},
    ),
    "other languages": ({"Frage": "Warum?", "Antwort": "Darum."}, {"Frage": "user", "Antwort": "assistant"}),
    "misspelt": ({"instrution": "Why?", "ouput": "So."}, {"instrution": "user", "ouput": "assistant"}),
    "joined words": ({"userText": "Why?", "botText": "So."}, {"userText": "user", "botText": "assistant"}),
    "length": ({"x": LONG, "y": "Why is it blue?"}, {"x": "assistant", "y": "user"}),
    "place": ({"x": "Why is it?", "y": "It is so."}, {"x": "user", "y": "assistant"}),
    "idle ones": (
        {"nr": "7", "x": "Why?", "when": "2024-01-02", "at": "https://x.org/a", "y": LONG, "n": 3, "e": ""},
        {"nr": "ignore", "x": "user", "when": "ignore", "at": "ignore", "y": "assistant", "n": "ignore"}
        | {"e": "ignore"},
    ),
    "one known": ({"answer": "So.", "topic": "Why is it blue?"}, {"answer": "assistant", "topic": "user"}),
    "one text": ({"body": LONG, "id": "1"}, {"body": "text", "id": "ignore"}),
    "a chat": (
        {"log": [{"role": "user", "content": "x"}], "q": "Why?"},
        {"log": "messages", "q": "ignore"},
    ),
    "nothing": ({"id": "1"}, {"id": "ignore"}),
}


@pytest.mark.parametrize(("row", "guess"), GUESSES.values(), ids=GUESSES.keys())
def test_the_first_guess(row: dict[str, Any], guess: dict[str, str]) -> None:
    assert guess_columns(list(row), [row, row]) == guess


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=3))


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.dictionaries(st.text(max_size=8), VALUES, max_size=4), max_size=3))
def test_any_guess_is_a_mapping(rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    guess = guess_columns(columns, rows)
    assert list(guess) == columns
    assert set(guess.values()) <= ROLES_OF_COLUMNS.keys()
    if any(role in ("assistant", "text", "messages") for role in guess.values()):
        check_mapping(guess)
