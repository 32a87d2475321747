"""What a rendered chat consists of: the template's control tokens and the spans of text to be trained."""

from __future__ import annotations

import re
from dataclasses import dataclass

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ControlToken:
    """A token that steers the model. `lstrip`/`rstrip`: it swallows the white space on that side."""

    text: str
    id: int
    lstrip: bool = False
    rstrip: bool = False


@dataclass(frozen=True, slots=True)
class Control:
    """A control token that the template wrote: text[start:end], which swallows text[first:last]."""

    token: ControlToken
    start: int
    end: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A rendered chat: its text, the template's control tokens in order, and the spans to be trained.

    `masked_turns` counts answers that are not trained because the template rewrites them later in the chat.
    `open_turns` counts trained answers that no turn-end token follows.
    """

    text: str
    controls: list[Control]
    trained: list[Span]
    masked_turns: int
    open_turns: int


class ControlTokens:
    """All control tokens of a model, searched for as the tokenizer does: leftmost, then longest."""

    def __init__(self, tokens: list[ControlToken]) -> None:
        self.by_text = {token.text: token for token in tokens}
        longest_first = sorted(self.by_text, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def find(self, text: str, within: list[Span]) -> list[Control]:
        """The control tokens that lie wholly inside one of the spans `within`."""
        found = []
        for start, end in within:
            found += [
                place(text, self.by_text[match[0]], *match.span())
                for match in self.pattern.finditer(text, start, end)
            ]
        return found


def place(text: str, token: ControlToken, start: int, end: int) -> Control:
    """The control token that stands at text[start:end], with the white space that it swallows."""
    first, last = start, end
    if token.lstrip:
        while first and text[first - 1].isspace():
            first -= 1
    if token.rstrip:
        while last < len(text) and text[last].isspace():
            last += 1
    return Control(token, start, end, first, last)
