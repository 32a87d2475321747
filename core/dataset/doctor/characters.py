"""Characters that nobody sees or that have a twin: null, zero width, direction marks, separate accents."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

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
_INVISIBLE = re.compile(
    f"[{_NEVER_SEEN}]"
    f"|(?<![{_JOINING}])\u200c"
    f"|(?<![{_JOINING}{_EMOJI}\ufe0f\u20e3])\u200d"
    f"|(?<=[{_EMOJI}\ufe0f\u20e3])\u200d(?![{_EMOJI}])"
    f"|(?<![{_UNSPACED}])\u200b(?![{_UNSPACED}])"
    f"|(?:(?<=[{_SELECTORS}\\s])|\\A)[{_SELECTORS}]"  # one belongs to a character, two are smuggled text
    f"|(?<![{_FLAG}{_TAGS}])[{_TAGS}]+"
    f"|(?<={_FLAG})(?!{_FLAG_OF_A_PLACE}(?![{_TAGS}]))[{_TAGS}]+"
)
# those of them that Python takes for letters or marks
_PRINTABLE = re.compile(
    f"[\u115f\u1160\u17b4\u17b5\u3164\uffa0]|[{_SELECTORS}]{{2}}|(?:\\A|\\s)[{_SELECTORS}]"
)


def may_have_unseen(text: str) -> bool:
    """Cheap and never wrong when it says no: whether a null or an invisible character can be in the text."""
    if not text.replace("\n", "").isprintable():
        return True
    return not text.isascii() and _PRINTABLE.search(text) is not None


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
    name = unicodedata.name(found[0], "control character")
    return f"U+{ord(found[0]):04X} {name.lower()}"


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
