"""The conversation of a run and short errands, without a server: what is kept, shown and sent."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.base.home import Home
from core.chat.talk import Manner, Talk, Turn
from core.runs.run import Run
from tests.ui_page import edit
from ui.bench import Bench
from ui.memo import Errand, Errands

FIRST = Turn("Hello", "Arr!", "Hi.")
SECOND = Turn("Again", "Aye!")


@pytest.fixture
def talk(home: Home) -> Talk:
    return Talk(Run(home.runs / "r").chats, [replace(FIRST), replace(SECOND)])


def test_a_conversation_is_found_again(talk: Talk) -> None:
    talk.save()
    assert Talk(talk.folder).load().turns == [FIRST, SECOND]


@pytest.mark.parametrize("text", ["{", "[]", '{"turns": [1, {"x": 2}]}'])
def test_a_damaged_conversation_starts_empty(talk: Talk, text: str) -> None:
    talk.save()
    talk.file.write_text(text)
    assert Talk(talk.folder).load().turns == []


def test_a_conversation_of_an_earlier_version_is_still_there(talk: Talk) -> None:
    talk.save()
    turns = [
        {"user": "Hello", "tuned": "Arr!", "base": None, "cut": []},
        {"user": "And?", "tuned": "A", "base": ""},
    ]
    talk.file.write_text(json.dumps({"turns": turns}))
    assert talk.load().turns == [Turn("Hello", "Arr!"), Turn("And?", "A", "")]


def test_an_answer_that_was_cut_off_says_so_on_the_page_only(talk: Talk) -> None:
    talk.turns = [Turn("Hello", "Arr, and", limited={"tuned": 3}), Turn("Go on")]
    talk.save()
    assert talk.load().shown("tuned")[0] == (
        "Hello",
        "Arr, and",
        "Cut off at 3 tokens, the longest answer asked for.",
    )
    assert talk.messages("tuned", "")[1]["content"] == "Arr, and"
    talk.turns = [Turn("Hello", "Arr", cut=["tuned"])]
    assert talk.shown("tuned") == [("Hello", "Arr", "Stopped before its end.")]


def test_each_side_sees_only_its_own_answers(talk: Talk) -> None:
    talk.turns.append(Turn("Third"))
    assert talk.messages("base", "Be brief.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "Third"},
    ]


def test_a_side_that_was_not_asked_shows_nothing(talk: Talk) -> None:
    assert talk.shown("base") == [("Hello", "Hi.", "")]
    assert talk.shown("tuned") == [("Hello", "Arr!", ""), ("Again", "Aye!", "")]


def test_a_second_question_meanwhile_is_refused(talk: Talk, tmp_path: Path) -> None:
    with talk.lock:
        with pytest.raises(UserError, match="still being answered"):
            next(talk.ask("Now?", {"tuned": tmp_path / "m.gguf"}, Manner()))
        with pytest.raises(UserError, match="Stop it first"):
            talk.clear()
    assert len(talk.turns) == 2


def test_a_file_that_is_no_model_is_a_problem_not_an_end(talk: Talk, tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"not a model")
    list(talk.ask("Hello?", {"tuned": file}, Manner()))
    assert talk.problem
    assert not talk.busy
    assert talk.turns[-1].cut == ["tuned"]


@pytest.mark.parametrize(
    ("name", "typed"), [("temperature", "hot"), ("temperature", "3"), ("max_tokens", "0")]
)
def test_a_wrong_manner_is_refused(bench: Bench, name: str, typed: str) -> None:
    with pytest.raises(UserError):
        edit(bench, "chat", name, typed)
    assert bench.choices().manner == Manner()


def finished(errands: Errands, name: str) -> Errand:
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(10)
    found = errands.find(name)
    assert found is not None
    return found


def test_an_errand_ends_with_its_result_or_a_sentence() -> None:
    errands = Errands(lambda error: f"Logged: {type(error).__name__}")

    def refused() -> str:
        raise UserError("No room.")

    def broken() -> str:
        raise KeyError("x")

    errands.run("good", lambda: "Placed.")
    errands.run("refused", refused)
    errands.run("broken", broken)
    assert finished(errands, "good") == Errand("done", "Placed.", "Placed.")
    assert finished(errands, "refused") == Errand("failed", "No room.")
    assert finished(errands, "broken") == Errand("failed", "Logged: KeyError")
