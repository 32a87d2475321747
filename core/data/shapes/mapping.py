"""The mapping of columns to roles: what a person may choose, what makes sense, and a first guess."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from statistics import fmean
from typing import Any

from core.base.errors import UserError
from core.data.shapes.chat import is_message
from core.data.shapes.names import (
    ANSWER_COLUMNS,
    CONTEXT_COLUMNS,
    HISTORY_COLUMNS,
    QUESTION_COLUMNS,
    SYSTEM_COLUMNS,
    plain,
)
from core.data.shapes.plan import roles_by_column
from core.data.shapes.text import is_absent

ROLES_OF_COLUMNS = {
    "user": "the question, or what the person says",
    "assistant": "the answer that the model learns",
    "system": "how the model should behave; stands before the question",
    "input": "text that belongs to the question; stands after it",
    "history": "earlier turns, as a list of [question, answer] pairs",
    "messages": "a whole chat, as a list of messages",
    "text": "plain text that the model learns to continue",
    "ignore": "not used",
}
_HINTS = {
    "user": "ask asked customer client frage pregunta pergunta domanda vraag fråga title subject",
    "assistant": "agent reply replies responded answered antwort respuesta réponse reponse resposta risposta "
    "antwoord svar target",
    "system": "persona role_description",
    "input": "passage background",
}
_KNOWN = {
    "history": HISTORY_COLUMNS,
    "system": SYSTEM_COLUMNS,
    "input": tuple(name for name in CONTEXT_COLUMNS if name not in QUESTION_COLUMNS),
    "user": tuple(name for name in QUESTION_COLUMNS if len(name) > 1),
    "assistant": tuple(name for name in ANSWER_COLUMNS if len(name) > 1),
}
_WORDS = {word: role for role, names in _KNOWN.items() for word in names} | {
    word: role for role, words in _HINTS.items() for word in words.split()
}
_WORD = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+")
_IDLE_NAME = re.compile(
    r"(^|_)(id|uuid|key|index|idx|nr|no|date|time|timestamp|created|updated|url|link|tags?|name|e?mail|phone"
    r"|category|source|lang|language|status|score|rating)(_|$)"
)
_IDLE_VALUE = re.compile(r"[\d\s.,:+\-/%€$£TZ]*|[a-z]+://\S*|[^@\s]+@[^@\s]+|[0-9a-fA-F\-]{16,}")
_ALIKE = 0.84
_LOOKED_AT = 200


def check_mapping(mapping: Mapping[str, str], columns: Collection[str] = ()) -> None:
    """Raise UserError, in a sentence, when no row can become anything by this mapping.

    `columns` are those of the data. Where they are known, the mapping may name no other, and their names
    complete it.
    """
    for column, role in mapping.items():
        if role not in ROLES_OF_COLUMNS:
            raise UserError(
                f"“{column}” is mapped to “{role}”, which is no role. "
                f"Choose one of {', '.join(ROLES_OF_COLUMNS)}."
            )
    known = {*columns, *map(plain, columns)}
    unknown = [column for column in mapping if column not in known and plain(column) not in known]
    if columns and unknown:
        raise UserError(
            f"The data has no column “{unknown[0]}”. It has {', '.join(f'“{name}”' for name in columns)}."
        )
    roles = {*mapping.values(), *roles_by_column(columns, mapping).values()} - {"", "ignore"}
    if not roles & {"assistant", "messages", "text"}:
        raise UserError(
            "No column is mapped to the answer. Map one to “assistant”, or to “messages” or “text” "
            "if it holds whole chats or plain text."
        )
    if "text" in roles and len(roles) > 1:
        raise UserError("Plain text has no other roles beside it. Set the other columns to “ignore”.")
    if "messages" in roles and roles - {"messages", "system"}:
        raise UserError(
            "A column of whole chats needs no other than “system” beside it. Set the others to “ignore”."
        )
    if "assistant" in roles and not roles & {"user", "input", "history"}:
        raise UserError("The answers have no question. Map a column to “user”.")


def guess_columns(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """A first guess at the role of each column, from its name, else from its place and its texts."""
    rows = rows[:_LOOKED_AT]
    values = {column: [row[column] for row in rows if not is_absent(row.get(column))] for column in columns}
    for column in columns:
        if values[column] and all(map(_is_chat, values[column])):
            return dict.fromkeys(columns, "ignore") | {column: "messages"}
    useful = [column for column in columns if not _is_idle(column, values[column])]
    guess = dict.fromkeys(columns, "ignore")
    for column in useful:
        role = _role_by_name(column)
        if role == "history" and not all(map(_is_listed, values[column])):
            continue
        if role in ("system", "input", "history") or (role and role not in guess.values()):
            guess[column] = role
    _fill_gaps(guess, useful, values)
    if "user" not in guess.values() and "assistant" in guess.values():
        guess = {column: "text" if role == "assistant" else "ignore" for column, role in guess.items()}
    return guess


def _fill_gaps(guess: dict[str, str], useful: list[str], values: dict[str, list[Any]]) -> None:
    """Give the missing one of question and answer, or both, to the columns with the longest texts."""
    lengths = {
        column: fmean(len(str(value)) for value in values[column]) for column in useful if values[column]
    }
    free = [column for column in lengths if guess[column] == "ignore"]
    # of equally long ones, those that stand first
    longest = sorted(free, key=lambda column: -lengths[column])
    missing = [role for role in ("user", "assistant") if role not in guess.values()]
    chosen = longest[: len(missing)]
    if len(chosen) == 2:
        first, second = sorted(chosen, key=useful.index)
        if lengths[first] > 1.5 * lengths[second]:
            first, second = second, first
        guess[first], guess[second] = "user", "assistant"
    elif len(chosen) == 1:
        guess[chosen[0]] = "assistant" if "assistant" in missing else "user"


def _role_by_name(column: str) -> str:
    """The role that the words of a name speak of, also where one is misspelt."""
    if plain(column) in _WORDS:
        return _WORDS[plain(column)]
    words = [word.lower() for word in _WORD.findall(column)]
    for word in reversed(words):
        near = (
            [word] if word in _WORDS else get_close_matches(word, _WORDS, 1, _ALIKE) if len(word) > 4 else []
        )
        if near:
            return _WORDS[near[0]]
    return ""


def _is_idle(column: str, values: list[Any]) -> bool:
    """Whether it holds numbers, dates, addresses or marks, or nothing, rather than text."""
    if not values or _IDLE_NAME.search(plain(column)):
        return True
    return sum(_says_nothing(value) for value in values) > len(values) / 2


def _says_nothing(value: Any) -> bool:
    if isinstance(value, str):
        return _IDLE_VALUE.fullmatch(value.strip()) is not None
    return not isinstance(value, list)


def _is_chat(value: Any) -> bool:
    """Whether it is a list of messages, or looks like one in a cell."""
    if isinstance(value, str):
        return _is_listed(value) and ('"role"' in value or '"from"' in value)
    return _is_listed(value) and bool(value) and all(map(is_message, value))


def _is_listed(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and value.lstrip().startswith("["))
