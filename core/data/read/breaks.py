"""Where a text may be cut: between paragraphs, at a line end, after a sentence or a word, in any script."""

from __future__ import annotations

import re
import unicodedata

# the better the place, the earlier: the end of a paragraph, a line, a sentence, a clause, a word
_BREAKS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\n[ \t]*\n\s*",
        r"\n",
        r"[.!?…][\"'”’»)]*\s|[。！？｡][」』”’）]*|[।॥؟۔።။]\s?",
        r"[、，；：،;,]\s?",
        r"\s",
    )
)


def text_break(text: str, start: int, end: int) -> int:
    """Where the part of `text` that begins at `start` ends best: in its second half, at most at `end`."""
    if end >= len(text):
        return len(text)
    middle = start + (end - start) // 2
    for pattern in _BREAKS:
        place = max((found.end() for found in pattern.finditer(text, middle, end)), default=0)
        if place > start:
            return place
    # a letter and the signs on it stay together
    while end - 1 > middle and (unicodedata.combining(text[end]) or text[end] in "\u200d\ufe0f"):
        end -= 1
    return end
