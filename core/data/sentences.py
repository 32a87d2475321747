"""Sentences about problems of a dataset: made for many rows, said of one, with the first row's reason."""

from __future__ import annotations

import re

from core.data.kinds import KINDS
from core.data.store import Found

_ONE = {
    "have": "has",
    "hold": "holds",
    "stand": "stands",
    "are": "is",
    "begin": "begins",
    "end": "ends",
    "lose": "loses",
    "name": "names",
    "write": "writes",
    "their": "its",
}
_PLURAL = re.compile(rf"(?<!that )\b({'|'.join(_ONE)})\b")
_BARE_PLACE = re.compile(r"[a-z]+ \d+")
_VERBS = {"has", "holds", "is", "begins", "ends", "names", "lacks", "can't", "stands", "opens", "was"}


def sentence_of(kind: str, found: Found) -> str:
    """What is said about one kind: how many rows, and the first one with its reason."""
    if not KINDS[kind].about_rows:
        return " ".join(found.reasons)
    first = _first(found)
    if found.count > 1:
        return f"{counted(found.count)} {KINDS[kind].says}. {first}"
    if KINDS[kind].drops:
        return first
    return f"1 row {_singular(KINDS[kind].says)}. {first}"


def _first(found: Found) -> str:
    """The first row and its reason: “Line 3 has no answer.”, “Line 3: “a@b.c”.” or “The first is line 3.”"""
    place, reason = found.places[0], found.reasons[0]
    if not reason:
        return f"The first is {place}."
    # “line 3” begins a sentence with a capital letter, the name of a file does not
    begin = place.capitalize() if _BARE_PLACE.fullmatch(place) else place
    between = " " if reason.split(" ", 1)[0] in _VERBS else ": "
    return f"{begin}{between}{reason}{'' if reason.endswith('.') else '.'}"


def _singular(says: str) -> str:
    """Words made for many rows, said of one."""
    return _PLURAL.sub(lambda match: _ONE[match[0]], says)


def counted(rows: int) -> str:
    """“1 row”, “12 rows”."""
    return "1 row" if rows == 1 else f"{rows:,} rows"


def shape_in_words(shapes: dict[str, int]) -> str:
    """The one shape, or all of them with their numbers."""
    if len(shapes) < 2:
        return next(iter(shapes), "")
    ordered = sorted(shapes.items(), key=lambda item: -item[1])
    return "mixed: " + ", ".join(f"{shape} ({counted(count)})" for shape, count in ordered)
