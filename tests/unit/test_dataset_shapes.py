"""Shapes: any messages survive being written in each shape, and what can't be used is said."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.dataset import load_conversations
from core.errors import UserError

Chat = list[dict[str, str]]
# NUL: the csv module of Python 3.10 refuses it, and the reader says so.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30).filter(
    lambda text: bool(text.strip())
)


@st.composite
def chats(draw: st.DrawFn) -> Chat:
    """A chat of one to three questions with answers, sometimes with a system message."""
    chat = [{"role": "system", "content": draw(TEXT)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        chat.append({"role": "user", "content": draw(TEXT)})
        chat.append({"role": "assistant", "content": draw(TEXT)})
    return chat


def as_messages(chat: Chat) -> dict[str, Any]:
    return {"messages": chat}


def as_parts(chat: Chat) -> dict[str, Any]:
    return {
        "messages": [
            {"role": turn["role"].upper(), "content": [{"type": "text", "text": turn["content"]}]}
            for turn in chat
        ]
    }


def as_sharegpt(chat: Chat) -> dict[str, Any]:
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    return {"conversations": [{"from": names[turn["role"]], "value": turn["content"]} for turn in chat]}


def as_alpaca(chat: Chat) -> dict[str, Any]:
    system = chat[0]["content"] if chat[0]["role"] == "system" else ""
    texts = [turn["content"] for turn in chat if turn["role"] != "system"]
    history = [list(pair) for pair in zip(texts[:-2:2], texts[1:-2:2], strict=True)]
    return {
        "instruction": texts[-2],
        "input": "",
        "output": texts[-1],
        "system": system,
        "history": history,
    }


def as_prompt(chat: Chat) -> dict[str, Any]:
    return {"prompt": chat[:-1], "completion": chat[-1:]}


SHAPES: dict[str, tuple[Callable[[Chat], dict[str, Any]], str]] = {
    "messages": (as_messages, "messages"),
    "parts": (as_parts, "messages"),
    "sharegpt": (as_sharegpt, "sharegpt"),
    "alpaca": (as_alpaca, "alpaca"),
    "prompt": (as_prompt, "prompt/completion"),
}


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chat_list=st.lists(chats(), min_size=1, max_size=3), as_array=st.booleans())
def test_messages_survive_every_shape(
    name: str, tmp_path: Path, chat_list: list[Chat], as_array: bool
) -> None:
    write, shape = SHAPES[name]
    records = [write(chat) for chat in chat_list]
    path = tmp_path / "data"
    text = json.dumps(records) if as_array else "\n".join(map(json.dumps, records))
    path.write_text(text, "utf-8")
    loaded = load_conversations(path)
    assert [row.messages for row in loaded.conversations] == chat_list
    assert loaded.shape == shape
    assert loaded.problems == []
    assert loaded.rows_read == len(chat_list)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chat_list=st.lists(chats(), min_size=1, max_size=3))
def test_messages_survive_csv(tmp_path: Path, chat_list: list[Chat]) -> None:
    path = tmp_path / "data.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Instruction ", "input", "output", "system", "history"])
        for chat in chat_list:
            row = as_alpaca(chat)
            writer.writerow([*list(row.values())[:4], json.dumps(row["history"])])
    loaded = load_conversations(path)
    assert [row.messages for row in loaded.conversations] == chat_list


def load(folder: Path, *records: dict[str, Any]) -> Any:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return load_conversations(path)


GOOD = {"question": "Why?", "answer": "Because."}


@pytest.mark.parametrize(
    "pair",
    [
        ("question", "answer"),
        ("Question", " Answer "),
        ("prompt", "response"),
        ("input", "output"),
        ("query", "response"),
        ("user", "assistant"),
        ("instruction", "response"),
    ],
)
def test_pairs_of_columns(pair: tuple[str, str], tmp_path: Path) -> None:
    loaded = load(tmp_path, {pair[0]: "Why?", pair[1]: "Because."})
    assert loaded.conversations[0].messages == [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Because."},
    ]


def test_input_and_context_follow_the_question(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        {"instruction": "Add.", "context": "1 2", "response": "3"},
    )
    assert [row.messages[0]["content"] for row in loaded.conversations] == ["Add.\n\n1 2"] * 2


UNUSABLE = {
    "no answer": {"question": "Why?", "answer": ""},
    "null answer": {"question": "Why?", "answer": None},
    "no question": {"question": " ", "answer": "Because."},
    "system only": {"messages": [{"role": "system", "content": "Be kind."}]},
    "unknown role": {"messages": [{"role": "pope", "content": "x"}]},
    "no role": {"messages": [{"content": "x"}]},
    "no content": {"messages": [{"role": "user"}, {"role": "assistant", "content": "x"}]},
    "empty list": {"messages": []},
    "text for a list": {"messages": "hello"},
    "list for a text": {"question": {"a": 1}, "answer": 3},
    "bad history": {"instruction": "a", "output": "b", "history": ["x"]},
    "no columns": {},
    "many columns": {f"column {number}": "x" for number in range(50)},
    "other columns": {"foo": "1", "bar": "2"},
}


@pytest.mark.parametrize("record", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_row_is_counted_with_its_reason(record: dict[str, Any], tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD, record, GOOD)
    assert [row.where for row in loaded.conversations] == ["line 1", "line 3"]
    assert [problem.where for problem in loaded.problems if problem.dropped] == ["line 2"]
    assert loaded.rows_read == 3
    with pytest.raises(UserError, match="no usable row among 1 row: record 1 has"):
        load(tmp_path, record)


UNSUPPORTED = {
    "preference pairs": {"prompt": "a", "chosen": "b", "rejected": "c"},
    "tool column": {**GOOD, "tools": [{"name": "f"}]},
    "tool role": {"messages": [{"role": "tool", "content": "x"}]},
    "tool calls": {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]},
    "sharegpt function": {"conversations": [{"from": "function_call", "value": "f()"}]},
    "image column": {**GOOD, "image": "cat.png"},
    "image part": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
}


@pytest.mark.parametrize("record", UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
def test_what_is_not_supported_is_refused_in_one_sentence(record: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.jsonl, line 2 holds .*\.$"):
        load(tmp_path, GOOD, record, GOOD)


def test_empty_columns_of_unsupported_kinds_do_no_harm(tmp_path: Path) -> None:
    assert load(tmp_path, {**GOOD, "images": [], "tools": None}).unused == []


def test_a_mixture_is_said_with_numbers(tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD, GOOD, {"instruction": "a", "output": "b"})
    assert loaded.shape == "mixed: question/answer (2 rows), alpaca (1 rows)"


def test_the_order_of_roles_is_noted_and_kept(tmp_path: Path) -> None:
    turns = [{"role": role, "content": "x"} for role in ("assistant", "user", "user", "system", "user")]
    loaded = load(tmp_path, {"messages": turns})
    assert loaded.conversations[0].messages == turns
    assert {problem.kind for problem in loaded.problems} == {
        "late system",
        "assistant first",
        "ends on user",
        "repeated role",
    }
    assert not any(problem.dropped for problem in loaded.problems)


def test_unused_columns_are_named(tmp_path: Path) -> None:
    assert load(tmp_path, {**GOOD, "score": 3, "id": None}).unused == ["score"]


def test_numbers_become_text_as_written(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"question": "How much?", "answer": 1.50}]', "utf-8")
    answer = load_conversations(path).conversations[0].messages[1]["content"]
    assert answer == "1.50"
    assert type(answer) is str
