"""A first look at a row's text: which rare signs stand in it, so that most rows need no closer look."""

from __future__ import annotations

import re
import string
from typing import NamedTuple

_LETTERS = string.ascii_letters.encode()
_HIGH = bytes(range(0x80, 0x100))
# everything else is worth a look: digits, brackets, @ _ | { and control characters
_PLAIN = _LETTERS + _HIGH + b" \t\n\r\v\f.,;:!?'\"()/=+*&%$#~`^\\>}]"
_DIGITS = frozenset(string.digits.encode())
_CONTROLS = frozenset(range(1, 0x20)) | {0x7F}
# what stands between the digits of a number goes, so that they stand together
_TO_DIGITS = bytes(0x30 if place in _DIGITS else 0x20 for place in range(256))
_BETWEEN_DIGITS = b" .-/()" + _HIGH
_SHORTEST_NUMBER = b"0" * 7

# what isn't seen although Python takes it for a letter or a mark: fillers, and selectors beyond one
_UNSEEN_BY_LEAD = {
    0xE1: re.compile(b"\xe1\x85[\x9f\xa0]|\xe1\x9e[\xb4\xb5]"),
    0xE3: re.compile(b"\xe3\x85\xa4"),
    0xEF: re.compile(
        b"\xef(?:\xbe\xa0|\xb8(?:(?<=\xef\xb8.\xef\xb8)|(?<=\xf3\xa0..\xef\xb8)|(?<=\\s\xef\xb8)|(?<=\\A\xef\xb8)))",
        re.DOTALL,
    ),
    0xF3: re.compile(b"\xf3\xa0"),
}
_ALL_BUT_LEADS = bytes(place for place in range(256) if place not in _UNSEEN_BY_LEAD)


class Glance(NamedTuple):
    """A text (all messages of a row together), and what a first look shows: too much, never too little."""

    text: str
    raw: bytes
    dashes: bool
    signs: frozenset[int]

    @classmethod
    def at(cls, text: str) -> Glance:
        raw = text.encode("utf-8", "surrogatepass")
        rare = raw.translate(None, _PLAIN)
        return cls(text, raw, b"-----" in rare, frozenset(rare))

    def has(self, sign: str) -> bool:
        return ord(sign) in self.signs

    def has_digit(self) -> bool:
        return not _DIGITS.isdisjoint(self.signs)

    def has_control(self) -> bool:
        return not _CONTROLS.isdisjoint(self.signs)

    def has_long_number(self) -> bool:
        """Whether seven digits stand together, as in a phone number."""
        return self.has_digit() and _SHORTEST_NUMBER in self.raw.translate(_TO_DIGITS, _BETWEEN_DIGITS)

    def has_unseen_letter(self) -> bool:
        """Whether there is something invisible that Python calls printable."""
        leads = frozenset(self.raw.translate(None, _ALL_BUT_LEADS))
        return any(_UNSEEN_BY_LEAD[lead].search(self.raw) for lead in leads)
