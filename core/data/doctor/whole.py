"""What can only be said about a dataset as a whole: answers all alike, and the scripts it is written in."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from numpy.typing import NDArray

from core.data.kinds import Remark
from core.data.shapes import Message

FEWEST_ROWS = 20
SAME_ANSWER = 0.2
SAME_OPENING = 0.5
_OPENING_WORDS = 4
_OPENING = re.compile(rf"\s*(\S+(?:\s+\S+){{{_OPENING_WORDS - 1}}})\s")
# below this share of the rows a second script is a few names and quotations
_WORTH_A_WORD = 0.01
# so much of a row is enough to know its script
_LOOKED_AT = 1000
_RANGES = (
    (0x41, 0x5A, "Latin"),
    (0x61, 0x7A, "Latin"),
    (0xC0, 0x24F, "Latin"),
    (0x370, 0x3FF, "Greek"),
    (0x400, 0x52F, "Cyrillic"),
    (0x530, 0x58F, "Armenian"),
    (0x590, 0x5FF, "Hebrew"),
    (0x600, 0x77F, "Arabic"),
    (0x8A0, 0x8FF, "Arabic"),
    (0x900, 0x97F, "Devanagari"),
    (0x980, 0x9FF, "Bengali"),
    (0xA00, 0xA7F, "Gurmukhi"),
    (0xA80, 0xAFF, "Gujarati"),
    (0xB00, 0xB7F, "Odia"),
    (0xB80, 0xBFF, "Tamil"),
    (0xC00, 0xC7F, "Telugu"),
    (0xC80, 0xCFF, "Kannada"),
    (0xD00, 0xD7F, "Malayalam"),
    (0xD80, 0xDFF, "Sinhala"),
    (0xE00, 0xE7F, "Thai"),
    (0xE80, 0xEFF, "Lao"),
    (0xF00, 0xFFF, "Tibetan"),
    (0x1000, 0x109F, "Burmese"),
    (0x10A0, 0x10FF, "Georgian"),
    (0x1100, 0x11FF, "Korean"),
    (0x1200, 0x137F, "Ethiopic"),
    (0x1780, 0x17FF, "Khmer"),
    (0x1800, 0x18AF, "Mongolian"),
    (0x1E00, 0x1EFF, "Latin"),
    (0x1F00, 0x1FFF, "Greek"),
    (0x3040, 0x30FF, "Japanese"),
    (0x3400, 0x4DBF, "Chinese"),
    (0x4E00, 0x9FFF, "Chinese"),
    (0xAC00, 0xD7A3, "Korean"),
    (0xFB50, 0xFDFF, "Arabic"),
    (0xFE70, 0xFEFC, "Arabic"),
    (0x20000, 0x323AF, "Chinese"),
)
_STARTS = [start for start, _, _ in _RANGES]


def alike_answers(answers: NDArray[Any]) -> str:
    """A sentence if too many answers are the very same; empty if not. How many rows each answer has."""
    rows = int(answers.sum())
    most = int(answers.max()) if rows else 0
    if rows < FEWEST_ROWS or most < SAME_ANSWER * rows:
        return ""
    return f"{most:,} of {rows:,} rows have the very same answer ({most / rows:.0%})."


def whole_notes(sample: Iterable[list[Message]]) -> list[Remark]:
    """What can be said about a dataset from a sample of its rows: answers that begin alike, scripts."""
    rows = 0
    openings: Counter[str] = Counter()
    scripts: Counter[str] = Counter()
    for messages in sample:
        rows += 1
        openings[opening(messages)] += 1
        scripts[main_script(messages)] += 1
    notes = (
        Remark("alike answers", alike_openings(openings)),
        Remark("mixed scripts", mixed_scripts(scripts)),
    )
    return [note for note in notes if note.detail and rows >= FEWEST_ROWS]


def opening(messages: list[Message]) -> str:
    """The first words of the last answer; empty if it ends with them or before."""
    answer = next((one["content"] for one in reversed(messages) if one["role"] == "assistant"), "")
    found = _OPENING.match(answer[:_LOOKED_AT])
    return " ".join(found[1].casefold().split()) if found else ""


def alike_openings(rows_by_opening: Mapping[str, int]) -> str:
    """A sentence if too many answers begin with the same words; empty if not."""
    rows = sum(rows_by_opening.values())
    most, words = max(((count, words) for words, count in rows_by_opening.items() if words), default=(0, ""))
    if most < max(SAME_OPENING * rows, 2):
        return ""
    return f"{most / rows:.0%} of the answers begin with the same words, “{words}”."


def main_script(messages: list[Message]) -> str:
    """The script that most different letters of a row belong to; empty if it has none."""
    letters = set("".join([message["content"][:_LOOKED_AT] for message in messages]))
    counts = Counter(script for letter in letters if (script := _script(letter)))
    if not counts:
        return ""
    # Japanese is written with Chinese characters as well
    if counts["Japanese"] and counts["Chinese"]:
        counts["Japanese"] += counts.pop("Chinese")
    return counts.most_common(1)[0][0]


@lru_cache(maxsize=65_536)
def _script(letter: str) -> str:
    place = bisect_right(_STARTS, ord(letter)) - 1
    return _RANGES[place][2] if place >= 0 and ord(letter) <= _RANGES[place][1] else ""


def mixed_scripts(rows_by_script: Mapping[str, int]) -> str:
    """A sentence with the share of each script if there is more than one worth a word; empty if not."""
    rows = sum(rows_by_script.values())
    shares = [
        (count, script)
        for script, count in rows_by_script.items()
        if script and count > 1 and count >= _WORTH_A_WORD * rows
    ]
    if len(shares) < 2:
        return ""
    named = ", ".join(f"{script} {count / rows:.0%}" for count, script in sorted(shares, reverse=True))
    return f"The rows are written in {len(shares)} scripts: {named}."
