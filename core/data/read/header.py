"""The first row of a table: whether it names the columns, and what they are called where it doesn't."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from core.data.read.flow import Note

_LONGEST_NAME = 60
_MOST_WORDS = 6
_SENTENCE_END = tuple(".?!…。？！؟।")
_NUMBER = re.compile(r"[-+]?\d[\d.,]*%?")
# what tables for training name their columns; such a word in the first row makes it a header
_USUAL_NAMES = """
id idx index no nr question questions answer answers prompt prompts response responses instruction
input output completion text label labels category topic source context system user assistant human
bot messages message conversations title name date time timestamp score rating comment email
language lang author url role content q a frage fragen antwort antworten kategorie datum quelle
pregunta respuesta réponse pergunta resposta domanda risposta вопрос ответ 问题 問題 回答 答案 質問 질문 답변
"""
_USUAL = frozenset(_USUAL_NAMES.split())
_STOOD_IN = {1: ("text",), 2: ("question", "answer"), 3: ("instruction", "input", "output")}


class Header(NamedTuple):
    """The columns' names; notes on what was decided; is_row: the first row is none, but data."""

    names: list[str]
    notes: list[Note]
    is_row: bool = False


def header_of(cells: list[str], file: str, where: str) -> Header:
    """What the first row of a table makes its columns' names.

    A column without a name is called “Unnamed: 0” after its place, as pandas does; a name that stands twice
    gets a number the second time.
    """
    names = [cell.strip() for cell in cells]
    if _is_data(names):
        columns = len(names)
        stood_in = _STOOD_IN.get(columns) or [f"column {place}" for place in range(1, columns + 1)]
        listed = ", ".join(f"“{name}”" for name in stood_in)
        sentence = (
            f"{file}, {where} reads like data, not like a header (“{names[0][:40]}”). Its columns are taken "
            f"as {listed}. If it is a header after all, give the columns short names."
        )
        return Header(list(stood_in), [Note("no header", where, sentence)], is_row=True)
    names = [name or f"Unnamed: {place}" for place, name in enumerate(names)]
    twins = sorted(name for name, count in Counter(names).items() if count > 1)
    if not twins:
        return Header(names, [])
    single: list[str] = []
    for name in names:
        number = 1
        while (called := name if number == 1 else f"{name}.{number - 1}") in single:
            number += 1
        single.append(called)
    sentence = (
        f"{file}, {where}: the header names “{twins[0]}” twice. The first keeps its name, the next is called "
        f"“{twins[0]}.1” and is not used unless you choose it."
    )
    return Header(single, [Note("doubled columns", where, sentence)])


def _is_data(names: list[str]) -> bool:
    """Whether a first row is data: something in it is no name, and nothing in it is a usual one."""
    if any(name.casefold() in _USUAL for name in names):
        return False
    return any(map(_is_no_name, names))


def _is_no_name(cell: str) -> bool:
    if len(cell) > _LONGEST_NAME or _NUMBER.fullmatch(cell):
        return True
    words = len(cell.split())
    return words > _MOST_WORDS or (words > 1 or not cell.isascii()) and cell.endswith(_SENTENCE_END)
