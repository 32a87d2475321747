"""Which encoding a text that is not UTF-8 is probably in. A guess: it is shown to the person, who decides."""

from __future__ import annotations

import re
from typing import NamedTuple

_LOOKED_AT = 64 * 1024
_EXAMPLES = 6
_LONGEST_EXAMPLE = 30
_OF_TWO_BYTES = ("gb18030", "cp932", "cp949", "big5", "euc_jp")
# below this the text reads like noise whatever it is taken for
_LEAST = 0.6
# so few letters beyond ASCII are an é or ü if anything: they read like some word of some language anyway
_FEW = 4
# halves of a character pair, each written in UTF-8 of its own: no other encoding either
_HALVES = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_WORD = re.compile(r"[^\s,;|\"]*[^\x00-\x7f\s,;|\"][^\s,;|\"]*")
_SIGNS = "–—‘’“”„…•€£§°«»¿¡´·×²³½™®©\xa0、。！？，：；（）「」『』《》【】“”"


class _Encoding(NamedTuple):
    """title: what people call it. usual: what its texts are written with, but for ASCII and signs."""

    title: str
    usual: frozenset[str]


def _encoding(title: str, usual: str) -> _Encoding:
    """usual: characters, and ranges of them like “а-я”."""
    ranges = re.sub("(.)-(.)", lambda ends: "".join(map(chr, range(ord(ends[1]), ord(ends[2]) + 1))), usual)
    return _Encoding(title, frozenset(ranges))


def _common(codec: str, first: int, last: int) -> str:
    """The characters that a two-byte code keeps in its first part, for the most common ones."""
    pairs = (bytes((one, two)) for one in range(first, last + 1) for two in range(0x40, 0xFF))
    return "".join(pair.decode(codec, "ignore") for pair in pairs)


_KANA = "\u3041-\u30fc々"
# in the order of how common they are: of two that read alike, the first
_ENCODINGS = {
    "cp1252": _encoding(
        "Windows, Western European", "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿŒœŠšŽžþð"
    ),
    "cp1250": _encoding(
        "Windows, Central European",
        "ĄĆĘŁŃÓŚŹŻąćęłńóśźżÁČĎÉĚÍŇŘŠŤÚŮÝŽáčďéěíňřšťúůýžÄÖÜäöüßŐŰőűÂĂÎŢŞâăîţşĽľĐđôÔ",
    ),
    # Hebrew reads like Russian without capitals, and without the letters that its code lacks
    "cp1255": _encoding("Windows, Hebrew", "א-ת"),
    "cp1251": _encoding("Windows, Cyrillic", "А-яЁёЄєІіЇїҐґЎўЂђЈјЉљЊњЋћЏџ№"),
    "gb18030": _encoding("Chinese, simplified", _common("gb2312", 0xB0, 0xD7)),
    "cp932": _encoding("Japanese, Shift-JIS", _KANA + _common("euc_jp", 0xB0, 0xCF)),
    "cp949": _encoding("Korean", _common("euc_kr", 0xB0, 0xC8)),
    "big5": _encoding("Chinese, traditional", _common("big5", 0xA4, 0xC6)),
    "euc_jp": _encoding("Japanese, EUC", _KANA + _common("euc_jp", 0xB0, 0xCF)),
    "cp1254": _encoding("Windows, Turkish", "ÇĞİÖŞÜçğıöşüÂÎÛâîû"),
    "cp1253": _encoding("Windows, Greek", "Ά-ώ"),
    "cp1256": _encoding("Windows, Arabic", "\u0621-\u0652پچژگکی"),
    "cp874": _encoding("Windows, Thai", "\u0e01-\u0e4e"),
    "koi8_r": _encoding("Cyrillic, KOI8", "А-яЁё"),
    "cp850": _encoding("DOS, Western European", "ÄÅÆÇÉÑÖÜßàáâäåæçèéêëìíîïñòóôöùúûüÿ"),
    "mac_roman": _encoding("Mac, Western European", "ÄÅÇÉÑÖÜßàáâãäåçèéêëìíîïñòóôõöùúûüÿøæ"),
}


def encoding_title(name: str) -> str:
    """“cp1252 (Windows, Western European)”."""
    return f"{name} ({_ENCODINGS[name].title})"


def guess_encoding(raw: bytes) -> str:
    """The encoding in which `raw`, which is not UTF-8, reads best; empty where it reads well in none."""
    from charset_normalizer import from_bytes

    sample = _lines_worth_a_look(raw)
    if 0 in sample or _HALVES.search(sample):
        return ""
    few = sum(byte > 0x7F for byte in sample) < _FEW
    names = ("cp1252",) if few else tuple(_ENCODINGS)
    texts = {name: text for name in names if (text := _decoded(sample, name)) is not None}
    scores = {name: _score(text, _ENCODINGS[name].usual) for name, text in texts.items()}
    best = max(scores.values(), default=0.0)
    if best < _LEAST:
        return ""
    even = [name for name, score in scores.items() if score == best]
    # by chance the codes of two bytes read like Thai or Arabic, but not the other way round
    even = [name for name in even if name in _OF_TWO_BYTES] or even
    if even[0] == "cp1255" or len({texts[name] for name in even}) == 1:
        return even[0]
    # several read like words of some language: which language it is, statistics of letters tell
    ranked = [match.encoding for match in from_bytes(sample, cp_isolation=even)]
    likely = next((name for name in ranked if name in even), even[0])
    return next(name for name in even if texts[name] == texts[likely])


def examples(text: str) -> list[str]:
    """Words that hold a letter beyond ASCII, each with at least one that those before it lack."""
    seen: set[str] = set()
    words = []
    for match in _WORD.finditer(text):
        letters = {letter for letter in match[0] if letter > "\x7f"}
        if letters - seen:
            seen |= letters
            words.append(match[0][:_LONGEST_EXAMPLE])
        if len(words) == _EXAMPLES:
            break
    return words


def _lines_worth_a_look(raw: bytes) -> bytes:
    """Whole lines that hold something beyond ASCII, at most so many bytes of them."""
    lines, size = [], 0
    for line in raw.splitlines():
        if size + len(line) > _LOOKED_AT:
            break
        if not line.isascii():
            lines.append(line)
            size += len(line)
    return b"\n".join(lines) or raw[:_LOOKED_AT]


def _decoded(raw: bytes, name: str) -> str | None:
    try:
        return raw.decode(name)
    except UnicodeDecodeError:
        return None


def _score(text: str, usual: frozenset[str]) -> float:
    """How much of what is beyond ASCII belongs there: 1 for all; less for capitals inside of words, and for
    words in two alphabets."""
    good = total = 0
    before = " "
    for letter in text:
        if letter > "\x7f":
            total += 1
            if letter in usual:
                strange = letter.isupper() and before.islower()
                strange = strange or (before.isascii() and before.isalpha() and "\u0370" <= letter < "\u0700")
                good += -1 if strange else 1
            elif letter in _SIGNS:
                # a sign of punctuation inside of a word is a letter of another encoding
                good += 0 if before.isalpha() and before < "\u0250" and letter not in "’–—…”“€°" else 1
        before = letter
    return good / total if total else 0.0
