"""One row as the model sees it: token ids, labels, and the pieces that the preview shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from tokenizers import Tokenizer

from core.data.layout import Span

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Piece:
    """One token for the preview. The texts of a row's pieces, joined, are the rendered chat, but for
    characters that the tokenizer has no token for.
    """

    text: str
    id: int
    trained: bool
    special: bool
    cut: bool


@dataclass(slots=True)
class Section:
    """Tokens side by side that are encoded in one go: text by `encoder`, or one control token (None)."""

    text: str
    ids: list[int]
    trained: bool
    encoder: Tokenizer | None = None


@dataclass
class Encoded:
    """One row as the model sees it.

    length, spans: all its tokens, and the [start, end) of those that are trained, before anything is cut off;
    the first token is never trained, as nothing predicts it. masked_turns: answers left out because the
    template rewrites them. lost: the characters that the model has no token for. reason: why the row can't be
    used.
    """

    sections: list[Section] = field(default_factory=list)
    max_length: int | None = None
    masked_turns: int = 0
    lost: str = ""
    notes: list[str] = field(default_factory=list)
    reason: str | None = None
    length: int = 0
    spans: list[Span] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """How many tokens are not cut off."""
        return self.length if self.max_length is None else min(self.length, self.max_length)

    @property
    def cut(self) -> int:
        """How many tokens the maximum length cuts off."""
        return self.length - self.kept

    @property
    def trained(self) -> int:
        """How many tokens are trained."""
        return sum(min(end, self.kept) - min(start, self.kept) for start, end in self.spans)

    @cached_property
    def ids(self) -> list[int]:
        """The token ids, at most max_length."""
        return [number for section in self.sections for number in section.ids][: self.kept]

    @cached_property
    def labels(self) -> list[int]:
        """As long as ids: the id itself where it is trained, -100 where it is not."""
        labels = [IGNORED] * self.kept
        for start, end in self.spans:
            labels[start:end] = self.ids[start:end]
        return labels

    @cached_property
    def pieces(self) -> list[Piece]:
        """Every token for the preview, those that are cut off too."""
        pieces: list[Piece] = []
        for section in self.sections:
            special = section.encoder is None
            for text, number in _texts(section):
                place = len(pieces)
                trained = section.trained and place > 0
                pieces.append(Piece(text, number, trained, special, cut=place >= self.kept))
        return pieces


def _texts(section: Section) -> list[tuple[str, int]]:
    """(text, id) of each token. Of tokens that share a character (an emoji's bytes), one has its text."""
    if section.encoder is None:
        return [(section.text, section.ids[0])]
    text = section.text
    encoding = section.encoder.encode(text, add_special_tokens=False)
    pieces = []
    position = 0
    last = len(encoding.ids) - 1
    for place, (number, (_, end)) in enumerate(zip(encoding.ids, encoding.offsets, strict=True)):
        end = len(text) if place == last else max(end, position)
        pieces.append((text[position:end], number))
        position = end
    return pieces
