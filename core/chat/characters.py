"""Bytes that will never be a character, so that the text streamed after them isn't held back."""

from __future__ import annotations

import codecs


def whole_characters(raw: bytes) -> bytes:
    """`raw` with each sequence that can't become UTF-8 any more replaced by U+FFFD.

    A character that is only cut off at the end (at most 3 bytes) stays as it is: more may come.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(raw)
    return text.encode("utf-8") + decoder.getstate()[0]
