"""Shapes: any messages survive being written in each shape, and what can't be used is said."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.kinds import KINDS
from core.data.read import Row, parse_json, read_rows
from core.data.shapes import Recognised, Refused, recognise
from core.data.shapes.names import ANSWER_COLUMNS, CHAT_COLUMNS, QUESTION_COLUMNS, ROLES, SPEAKER_KEYS
from core.data.shapes.outcome import UNTRAINED

Chat = list[dict[str, str]]
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(lambda text: not text.isspace())


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def read(data: dict[str, Any], columns: dict[str, str] | None = None) -> Recognised:
    found = recognise(Row(data, "line 1"), columns)
    assert isinstance(found, Recognised), found
    return found


def refused(data: Any, columns: dict[str, str] | None = None) -> Refused:
    found = recognise(Row(data, "line 1"), columns)
    assert isinstance(found, Refused), found
    return found


@st.composite
def chats(draw: st.DrawFn, turns: int = 3, system: bool = True) -> Chat:
    """A chat of one to three questions with answers, sometimes with a system message."""
    chat = [{"role": "system", "content": draw(TEXT)}] if system and draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, turns))):
        chat += [user(draw(TEXT)), assistant(draw(TEXT))]
    return chat


@st.composite
def any_chats(draw: st.DrawFn) -> Chat:
    """Messages in any order, as long as there is an answer."""
    roles = draw(st.lists(st.sampled_from(["system", "user", "assistant"]), max_size=5))
    roles.insert(draw(st.integers(0, len(roles))), "assistant")
    return [{"role": role, "content": draw(TEXT)} for role in roles]


def as_sharegpt(chat: Chat) -> list[dict[str, str]]:
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    return [{"from": names[turn["role"]], "value": turn["content"]} for turn in chat]


def as_parts(chat: Chat) -> list[dict[str, Any]]:
    """Each text cut in two parts; every second message stays a string."""
    written: list[dict[str, Any]] = []
    for place, turn in enumerate(chat):
        half = len(turn["content"]) // 2
        cut = (turn["content"][:half], turn["content"][half:])
        parts = [{"type": "text", "text": text} for text in cut]
        written.append(
            {"role": turn["role"].upper(), "content": turn["content"] if place % 2 == 0 else parts}
        )
    return written


def as_columns(chat: Chat) -> dict[str, list[str]]:
    return {key: [turn[key] for turn in chat] for key in ("content", "role")}


ANY_ORDER: dict[str, tuple[Callable[[Chat], dict[str, Any]], str]] = {
    "messages": (lambda chat: {"messages": chat}, "messages"),
    "conversations": (lambda chat: {"id": "7", "conversations": chat}, "messages"),
    "parts": (lambda chat: {"messages": as_parts(chat)}, "messages"),
    "sharegpt": (lambda chat: {"conversations": as_sharegpt(chat)}, "sharegpt"),
    "columns": (lambda chat: {"conversation": as_columns(chat)}, "messages"),
    "messages in a cell": (lambda chat: {"Messages": json.dumps(chat)}, "messages"),
    "sharegpt in a cell": (
        lambda chat: {" conversations": json.dumps(as_sharegpt(chat), ensure_ascii=False)},
        "sharegpt",
    ),
}


@pytest.mark.parametrize("name", ANY_ORDER)
@settings(max_examples=40, deadline=None)
@given(chat=any_chats())
def test_any_messages_survive_shapes_that_name_roles(name: str, chat: Chat) -> None:
    write, shape = ANY_ORDER[name]
    found = read(write(chat))
    assert found.messages == chat
    assert found.shape == shape
    assert found.remarks == []


def as_alpaca(chat: Chat) -> dict[str, Any]:
    system = chat[0]["content"] if chat[0]["role"] == "system" else ""
    texts = [turn["content"] for turn in chat if turn["role"] != "system"]
    history = [list(pair) for pair in zip(texts[:-2:2], texts[1:-2:2])]
    return {
        "instruction": texts[-2],
        "input": "",
        "output": texts[-1],
        "system": system,
        "history": history,
    }


def as_alpaca_cells(chat: Chat) -> dict[str, Any]:
    """Alpaca as a spreadsheet writes it: through CSV, the history as JSON text."""
    record = as_alpaca(chat) | {"history": json.dumps(as_alpaca(chat)["history"])}
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerows([[" Instruction ", "Input", "output", "SYSTEM", "history"], record.values()])
    file.seek(0)
    header, cells = csv.reader(file)
    return dict(zip(header, cells))


def as_vertex(chat: Chat) -> dict[str, Any]:
    system = [turn["content"] for turn in chat if turn["role"] == "system"]
    turns = [turn for turn in chat if turn["role"] != "system"]
    return {
        "systemInstruction": {"role": "system", "parts": [{"text": text} for text in system]},
        "contents": [
            {
                "role": "model" if turn["role"] == "assistant" else "user",
                "parts": [{"text": turn["content"]}],
            }
            for turn in turns
        ],
    }


IN_TURN: dict[str, tuple[Callable[[Chat], dict[str, Any]], str]] = {
    "alpaca": (as_alpaca, "alpaca"),
    "alpaca cells": (as_alpaca_cells, "alpaca"),
    "prompt of messages": (
        lambda chat: {"prompt": chat[:-1], "completion": chat[-1:]},
        "prompt/completion",
    ),
    "prompt of messages, completion of text": (
        lambda chat: {"prompt": chat[:-1], "completion": chat[-1]["content"]},
        "prompt/completion",
    ),
    "vertex": (as_vertex, "messages"),
}


@pytest.mark.parametrize("name", IN_TURN)
@settings(max_examples=40, deadline=None)
@given(chat=chats())
def test_chats_survive_shapes_that_take_turns(name: str, chat: Chat) -> None:
    # The csv module of Python 3.10 refuses NUL, and the reader says so.
    chat = [{**turn, "content": turn["content"].replace("\0", "0")} for turn in chat]
    write, shape = IN_TURN[name]
    found = read(write(chat))
    if name.startswith("prompt of"):
        # answers in a prompt are read, only the completion is trained
        chat = [one | UNTRAINED if one["role"] == "assistant" else one for one in chat[:-1]] + chat[-1:]
    assert found.messages == chat
    assert found.shape == shape
    assert {remark.kind for remark in found.remarks} <= {"formula cells"}


@settings(max_examples=40, deadline=None)
@given(chat=chats(turns=1, system=False), question=st.sampled_from([*QUESTION_COLUMNS]), data=st.data())
def test_one_question_survives_every_pair_of_columns(chat: Chat, question: str, data: st.DataObject) -> None:
    answer = data.draw(st.sampled_from(ANSWER_COLUMNS))
    assert read({question.title(): chat[0]["content"], answer: chat[1]["content"]}).messages == chat


@given(text=TEXT)
def test_plain_text_is_one_message_of_its_own_role(text: str) -> None:
    found = read({"Text": text})
    assert found.messages == [{"role": "text", "content": text}]
    assert found.shape == "plain text"


KEYS = st.sampled_from(
    [
        *CHAT_COLUMNS,
        *QUESTION_COLUMNS,
        *ANSWER_COLUMNS,
        *SPEAKER_KEYS,
        *("role", "from", "content", "value", "text", "parts", "type", "system", "context", "history"),
        *("tools", "images", "chosen", "rejected", "label", "Role", "", "\ud800", "else"),
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([*ROLES, "text", "image_url", "tool", '[{"role":"user","content":1}]', "[", "[[1,2]]"]),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(
    data=st.dictionaries(KEYS, TREES, max_size=5),
    columns=st.dictionaries(KEYS, st.sampled_from(["user", "assistant", "messages", "history", "text"])),
)
def test_no_value_makes_it_raise(data: dict[str, Any], columns: dict[str, str]) -> None:
    for mapping in (None, columns):
        found = recognise(Row(data, "line 1"), mapping)
        if isinstance(found, Refused):
            assert found.kind in KINDS
            assert found.reason.startswith(("has ", "holds "))
            continue
        assert found.messages
        assert {remark.kind for remark in found.remarks} <= KINDS.keys()
        for message in found.messages:
            assert list(message) == ["role", "content"]
            assert all(type(text) is str for text in message.values())


def test_input_and_context_follow_the_question() -> None:
    for data in (
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        {"instruction": "Add.", "context": "1 2", "response": "3"},
        {"input": "1 2", "instruction": "Add.", "output": "3"},
    ):
        assert read(data).messages == [user("Add.\n\n1 2"), assistant("3")]
    assert read({"instruction": " ", "input": "1 + 2?", "output": "3"}).messages[0] == user("1 + 2?")


def test_of_several_pairs_the_filled_one_is_taken() -> None:
    columns = dict.fromkeys(["prompt", "completion", "question", "answer", "messages", "text"])
    assert read(columns | {"question": "Why?", "answer": "So."}).messages == [user("Why?"), assistant("So.")]
    assert read(columns | {"text": "Once."}).shape == "plain text"
    assert read(columns | {"messages": [assistant("So.")], "text": "x"}).unused == ["text"]
    assert refused(columns | {"prompt": "Why?", "text": "Once."}).kind == "empty answer"


def test_the_solution_of_a_problem_is_its_answer() -> None:
    found = read({"problem": "1 + 1", "solution": "It is 2.", "answer": "2"})
    assert found.messages[1] == assistant("It is 2.")
    assert found.unused == ["answer"]


def test_a_systems_column_stands_in_front() -> None:
    system = {"role": "system", "content": "Be kind."}
    chat = [user("Why?"), assistant("So.")]
    assert read({"messages": chat, "system": "Be kind."}).messages == [system, *chat]
    assert read({"question": "Why?", "answer": "So.", "system_prompt": "Be kind."}).messages == [
        system,
        *chat,
    ]
    own = read({"messages": [system, *chat], "system": "Be rude."})
    assert (own.messages, own.unused) == ([system, *chat], ["system"])


def test_turns_that_hold_a_question_and_its_answer() -> None:
    data = {"conversation": [{"human": "Why?", "assistant": "So."}, {"human": "Oh?", "assistant": "Yes."}]}
    assert [turn["content"] for turn in read(data).messages] == ["Why?", "So.", "Oh?", "Yes."]


def said(sender: str, *lines: str) -> list[dict[str, str]]:
    return [{"text": line, "timestamp": "2018-05-02", "sender": sender} for line in lines]


def test_a_chat_that_only_names_speakers() -> None:
    chat = {
        "messages": [said("x1", "Hello", "How are you?"), said("y2", "Fine", " "), said("x1", "")],
        "prompt": "Friends",
    }
    found = read(chat)
    assert found.messages == [user("Hello\nHow are you?"), assistant("Fine")]
    assert found.shape == "named speakers"
    assert found.unused == ["prompt", "messages.timestamp"]
    assert [remark.kind for remark in found.remarks] == ["blank turns"]
    flat = {"dialogue": [{"speaker": "Ann", "text": "Why?"}, {"speaker": "Bob", "text": "So."}]}
    assert read(flat).messages == [user("Why?"), assistant("So.")]


def test_chats_that_stand_under_their_ids(tmp_path: Path) -> None:
    path = tmp_path / "chats.json"
    chats = {name: {"messages": [said("x", name), said("y", "So.")]} for name in ("a07e", "b19f", "c2")}
    path.write_text(json.dumps(chats), "utf-8")
    rows = [row for row in read_rows(path) if isinstance(row, Row)]
    assert [read(row.data).messages[0]["content"] for row in rows] == list(chats)


def test_one_who_speaks_alone_answers() -> None:
    assert read({"messages": [said("x1", "Anyone?")]}).messages == [assistant("Anyone?")]


CHAT = [user("Why?"), assistant("So.")]
PAIR = {"question": "Why?", "answer": "So."}
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "no columns": ("unknown columns", {}),
    "many columns": ("unknown columns", {f"column {number}": "x" for number in range(50)}),
    "a message as a row": ("unknown columns", user("Why?")),
    "a turn as a row": ("unknown columns", {"speaker": "Ann", "text": "Why?"}),
    "answer only": ("unknown columns", {"answer": "So."}),
    "question only": ("unknown columns", {"question": "Why?"}),
    "null for a list": ("no messages", {"messages": None}),
    "silent speakers": ("no messages", {"messages": [said("x1", " ")]}),
    "list for a text": ("bad message", {"question": {"a": 1}, "answer": "So."}),
    "several answers": ("bad message", {"question": "Why?", "answer": ["So.", "Or so."]}),
    "bad history": ("bad message", {"instruction": "a", "output": "b", "history": ["x"]}),
    "mixed group": ("bad message", {"messages": [[*said("x", "a"), *said("y", "b")]]}),
    "reasoning part": (
        "bad message",
        {"messages": [{"role": "assistant", "content": [{"type": "reasoning", "text": "x"}]}]},
    ),
    "three speakers": ("unknown role", {"messages": [said("x", "a"), said("y", "b"), said("z", "c")]}),
    "no parts": ("missing content", {"messages": [user("x"), {"role": "assistant", "content": []}]}),
    "empty answer": ("empty answer", {"question": "Why?", "answer": ""}),
    "blank answer": ("empty answer", {"question": "Why?", "answer": " \n"}),
    "empty content": ("empty answer", {"messages": [user("x"), assistant("")]}),
    "earlier answer empty": ("empty answer", {"messages": [user("x"), assistant(" "), *CHAT]}),
    "empty text": ("empty answer", {"text": " "}),
    "blank question": ("empty question", {"question": " ", "answer": "So."}),
    "blank turn": ("empty question", {"messages": [user(" "), assistant("So.")]}),
    "tool part": ("tool calls", {"messages": [{"role": "user", "content": [{"type": "tool_use"}]}]}),
    "image beside": ("images", {"messages": [{**user("x"), "images": ["cat.png"]}]}),
    "only rejected": ("no answer", {"prompt": "Why?", "chosen": None, "rejected": "No."}),
    "chosen without a question": ("empty question", {"chosen": "So.", "rejected": "No."}),
    "judged": ("judged bad", {"messages": CHAT, "label": False}),
    "judged in words": ("judged bad", {**PAIR, "feedback": "thumbs down"}),
    "scored": ("judged bad", {**PAIR, "score": -1}),
    "tool in a written chat": (
        "tool calls",
        {"text": "<|im_start|>user\nx<|im_end|>\n<|im_start|>tool\ny<|im_end|>\n<|im_start|>assistant\nz"},
    ),
}


@pytest.mark.parametrize(("kind", "data"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_says_why(kind: str, data: dict[str, Any]) -> None:
    found = refused(data)
    assert found.kind == kind
    assert found.reason.startswith(("has ", "holds "))
    assert not found.reason.endswith(".")


def test_empty_columns_of_unsupported_kinds_do_no_harm() -> None:
    assert read({**PAIR, "images": [], "tools": "[]", "chosen": None, "rejected": ""}).unused == []


def test_unused_columns_are_named() -> None:
    assert read({**PAIR, "score": 3, "id": None, "tags": []}).unused == ["score"]
    turn = {**assistant("So."), "weight": 1, "mood": "calm", "name": None}
    assert read({"messages": [user("Why?"), turn]}).unused == ["messages.mood"]


@pytest.mark.parametrize(
    ("written", "text"), [("1.50", "1.50"), ("1e5", "1e5"), ("true", "true"), ("0", "0")]
)
def test_numbers_become_text_as_written(written: str, text: str) -> None:
    for row in ('{"question": "How much?", "answer": %s}', '{"messages": [{"role": "ai", "content": %s}]}'):
        found = read(parse_json(row % written))
        assert found.messages[-1] == assistant(text)
        assert type(found.messages[-1]["content"]) is str
        assert [remark.kind for remark in found.remarks] == ["not text"]


@pytest.mark.parametrize(
    "cell", ["=SUM(A1:A9)", "=1+2", "+A1", "-2+3+cmd|' /C calc'!A0", "@SUM(1)", '="x"', "+cmd|' /C'"]
)
def test_formula_cells_are_remarked(cell: str) -> None:
    assert [remark.kind for remark in read({**PAIR, "answer": cell}).remarks] == ["formula cells"]


@pytest.mark.parametrize(
    "cell", ["- a list\n- of two", "-5", "+1 (555) 010", "@ann said so", "= equals", "--"]
)
def test_other_cells_with_signs_are_not(cell: str) -> None:
    assert read({**PAIR, "answer": cell}).remarks == []
