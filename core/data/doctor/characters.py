"""Characters that nobody sees or that have a twin: null, zero width, direction marks, separate accents."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from core.data.doctor.glance import Glance

_NEVER_SEEN = (
    "\x01-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # control characters but null, tab and line breaks
    "\u00ad\u061c\u115f\u1160\u17b4\u17b5\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
)
# words are written with joiners in Arabic, Syriac, N'Ko, Mongolian and the scripts of India and Indochina
_JOINING = (
    "\u0600-\u07ff\u0860-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af"
    "\ua840-\ua87f\ua8e0-\ua9ff\ufb50-\ufdff\ufe70-\ufefc"
)
# scripts without spaces mark where a line may break
_UNSPACED = "\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u1980-\u1aaf\ua980-\ua9df"
_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf"
    "\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_TAGS = "\U000e0000-\U000e007f"
_FLAG = "\U0001f3f4"
_FLAG_OF_A_PLACE = "[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"
# one set of characters first, so that the search runs quickly over all others
_INVISIBLE = re.compile(
    f"[{_NEVER_SEEN}\u200b-\u200d{_SELECTORS}{_TAGS}](?:"
    f"(?<=[{_NEVER_SEEN}])"
    f"|(?<=(?<![{_JOINING}])\u200c)"
    f"|(?<=(?<![{_JOINING}{_EMOJI}\ufe0f\u20e3])\u200d)"
    f"|(?<=(?<=[{_EMOJI}\ufe0f\u20e3])\u200d)(?![{_EMOJI}])"
    f"|(?<=(?<![{_UNSPACED}])\u200b)(?![{_UNSPACED}])"
    f"|(?<=(?<=[{_SELECTORS}\\s])[{_SELECTORS}])|(?<=\\A[{_SELECTORS}])"  # two of them are smuggled text
    f"|(?<=(?<![{_FLAG}{_TAGS}])[{_TAGS}])[{_TAGS}]*"
    f"|(?<={_FLAG}[{_TAGS}])(?<!{_FLAG}(?={_FLAG_OF_A_PLACE}(?![{_TAGS}]))[{_TAGS}])[{_TAGS}]*"
    ")"
)
_LINE_SEPARATOR = re.compile("[\u2028\u2029\x85]")


def may_have_unseen(glance: Glance) -> bool:
    """Cheap and never wrong when it says no."""
    text = glance.text
    if text.isascii():
        return glance.has_control()
    return not text.replace("\n", "").isprintable() or glance.has_unseen_letter()


def null_characters(text: str) -> str:
    """How many null characters there are."""
    count = text.count("\0")
    return f"{count} of them" if count else ""


def without_null(text: str) -> str:
    """The text without null characters."""
    return text.replace("\0", "")


def invisible_characters(text: str) -> str:
    """The first invisible or direction-changing character that no script needs where it stands."""
    found = _INVISIBLE.search(text)
    if not found:
        return ""
    character = found[0][0]
    name = unicodedata.name(character, "control character")
    return f"U+{ord(character):04X} {name.lower()}"


def without_invisible(text: str) -> str:
    """The text without them; again where one that went was what another one leant on."""
    while _INVISIBLE.search(text):
        text = _INVISIBLE.sub("", text)
    return text


def unusual_forms(text: str) -> str:
    """A letter written with a separate accent although there is one character for it.

    Signs in another order (vowels in Arabic and Hebrew) or letters that Unicode itself takes apart (in
    Hindi) are no reason for a word.
    """
    if unicodedata.is_normalized("NFC", text):
        return ""
    composed = Counter(unicodedata.normalize("NFC", text)) - Counter(text)
    letter = next((one for one in composed if len(unicodedata.normalize("NFD", one)) > 1), "")
    return f"“{letter}” as {len(unicodedata.normalize('NFD', letter))} characters" if letter else ""


def in_one_form(text: str) -> str:
    """The text with every letter as one character (NFC)."""
    return unicodedata.normalize("NFC", text)


def line_separators(text: str) -> str:
    """The first line break that most programs take for a letter."""
    found = _LINE_SEPARATOR.search(text)
    return f"U+{ord(found[0]):04X}" if found else ""


def with_line_breaks(text: str) -> str:
    """The text with usual line breaks in their place."""
    return _LINE_SEPARATOR.sub("\n", text)
