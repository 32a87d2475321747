"""The order of a row's turns, answers of a word or two, and turns that have become empty."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from core.data.kinds import Remark
from core.data.shapes import Message

SHORT_WORDS = 2
# how prompts and completions for older models ended: “\n\n###\n\n”, “ ->” and “ END”
_ASKED_END = re.compile(r"(?:(?<!#)#{2,}|->|=>|→)\Z")
_ANSWERED_END = re.compile(r"(?:(?<!#)#{2,}|\[END\]|END)\Z")
_THINKING = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)
# longer text without a space is a link, a formula or code rather than a word
_WORD_LETTERS = 40
# these scripts write no space between words; so many letters may be two words
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_UNSPACED_LETTERS = 4


@lru_cache(maxsize=4096)
def order_of_turns(roles: tuple[str, ...]) -> tuple[Remark, ...]:
    """What is unusual about the order of these roles; plain text has none."""
    turns = [role for role in roles if role != "system"]
    if not turns or turns[0] == "text":
        return ()
    found = []
    if "system" in roles[1:]:
        late = roles.index("system", 1) + 1
        found.append(Remark("late system", f"message {late} is a system message"))
    if turns[0] == "assistant":
        found.append(Remark("assistant first", "the first turn is an answer"))
    if turns[-1] == "user":
        found.append(Remark("ends on user", f"the last of {len(turns)} turns is a question"))
    repeated = next((one for one, two in pairwise(turns) if one == two), None)
    if repeated:
        found.append(Remark("repeated role", f"two {repeated} turns in a row"))
    return tuple(found)


def short_answer(messages: list[Message]) -> Remark | None:
    """Said when no answer of the row has more than two words; a short turn in a longer chat is usual."""
    short = ""
    for message in messages:
        if message["role"] == "assistant":
            short = message["content"]
            if not _is_short(short):
                return None
    return Remark("short answers", f"“{short.strip()}”") if short else None


def _is_short(text: str) -> bool:
    if len(text) > _WORD_LETTERS * SHORT_WORDS or len(text.split(None, SHORT_WORDS)) > SHORT_WORDS:
        return False
    return text.isascii() or not _UNSPACED.search(text) or len(text.strip()) <= _UNSPACED_LETTERS


def separators(messages: list[Message]) -> Remark | None:
    """Separators of an older format at the ends of a question and its answer."""
    for message, mended in zip(messages, without_separators(messages)):
        if message["content"] != mended["content"] and message["content"].strip() != mended["content"]:
            ending = message["content"][len(mended["content"]) :].strip()
            return Remark("separators", f"“{ending}” at the end of what the {message['role']} says")
    return None


def without_separators(messages: list[Message]) -> list[Message]:
    """One question and its answer without them; other rows as they are."""
    turns = [message["role"] for message in messages if message["role"] != "system"]
    if turns != ["user", "assistant"]:
        return messages
    endings = {"user": _ASKED_END, "assistant": _ANSWERED_END}
    bare = [_without(endings.get(one["role"]), one["content"]) for one in messages]
    return [one if text is None else {**one, "content": text} for one, text in zip(messages, bare)]


def _without(ending: re.Pattern[str] | None, text: str) -> str | None:
    """The text before a separator at its end; None where it has none.

    The blanks are looked at by hand: a pattern that begins with them would try every blank of a long run.
    """
    whole = text.rstrip()
    mark = ending.search(whole) if ending else None
    if mark is None:
        return None
    before, sign = whole[: mark.start()], mark[0]
    blanks = before[len(before.rstrip()) :]
    own_line = "\n" in blanks or (sign == "###" and ending is _ANSWERED_END and bool(blanks))
    stands = own_line if sign.startswith("#") else sign == "[END]" or bool(blanks)
    return before.strip() if stands else None


def without_reasoning(messages: list[Message]) -> list[Message]:
    """The answers without the thinking before them."""
    return [
        {**one, "content": _THINKING.sub("", one["content"], count=1)}
        if one["role"] == "assistant" and _THINKING.match(one["content"])
        else one
        for one in messages
    ]


def empty_turn(messages: list[Message]) -> Remark | None:
    """The first question or answer without any text; such a row teaches nothing and is left out."""
    for number, message in enumerate(messages, start=1):
        if message["role"] != "system" and not message["content"].strip():
            kind = "empty question" if message["role"] == "user" else "empty answer"
            return Remark(kind, f"message {number} is empty")
    return None
