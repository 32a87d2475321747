"""The order of a row's turns, answers of a word or two, and turns that have become empty."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from core.data.kinds import Remark
from core.data.shapes import Message

SHORT_WORDS = 2
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


def empty_turn(messages: list[Message]) -> Remark | None:
    """The first question or answer without any text; such a row teaches nothing and is left out."""
    for number, message in enumerate(messages, start=1):
        if message["role"] != "system" and not message["content"].strip():
            kind = "empty question" if message["role"] == "user" else "empty answer"
            return Remark(kind, f"message {number} is empty")
    return None
