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
_SCRIPTS = {
    "Latin": "41-5A 61-7A C0-24F 1E00-1EFF",
    "Greek": "370-3FF 1F00-1FFF",
    "Cyrillic": "400-52F",
    "Armenian": "530-58F",
    "Hebrew": "590-5FF",
    "Arabic": "600-77F 8A0-8FF FB50-FDFF FE70-FEFC",
    "Devanagari": "900-97F",
    "Bengali": "980-9FF",
    "Gurmukhi": "A00-A7F",
    "Gujarati": "A80-AFF",
    "Odia": "B00-B7F",
    "Tamil": "B80-BFF",
    "Telugu": "C00-C7F",
    "Kannada": "C80-CFF",
    "Malayalam": "D00-D7F",
    "Sinhala": "D80-DFF",
    "Thai": "E00-E7F",
    "Lao": "E80-EFF",
    "Tibetan": "F00-FFF",
    "Burmese": "1000-109F",
    "Georgian": "10A0-10FF",
    "Korean": "1100-11FF AC00-D7A3",
    "Ethiopic": "1200-137F",
    "Khmer": "1780-17FF",
    "Mongolian": "1800-18AF",
    "Japanese": "3040-30FF",
    "Chinese": "3400-4DBF 4E00-9FFF 20000-323AF",
}
_RANGES = sorted(
    (int(first, 16), int(last, 16), script)
    for script, spans in _SCRIPTS.items()
    for first, _, last in (span.partition("-") for span in spans.split())
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
