"""Text on its way to the model and back.

Control markers typed into a conversation stay text: nobody can forge a turn by writing `<|im_start|>`. Bytes
that will never be a character don't hold back the text that is streamed after them.
"""

from __future__ import annotations

import codecs
import re
from functools import cached_property
from typing import Any

import llama_cpp

# one private character (Unicode, plane 15) for each control token, from rendering to tokenizing
_FIRST = 0xF0000
_PRIVATE = re.compile(f"[{chr(_FIRST)}-{chr(_FIRST + 0xFFFD)}]")


class Markers:
    """The control tokens of one model."""

    def __init__(self, model: llama_cpp.Llama) -> None:
        self._vocab = model._model.vocab

    @cached_property
    def texts(self) -> list[str]:
        """How they are written."""
        found = []
        for token in range(llama_cpp.llama_vocab_n_tokens(self._vocab)):
            if llama_cpp.llama_vocab_get_attr(self._vocab, token) & llama_cpp.LLAMA_TOKEN_ATTR_CONTROL:
                found.append(llama_cpp.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace"))
        return [text for text in found if text]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.texts, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def hide(self, message: dict[str, Any]) -> dict[str, Any]:
        """The message with a private character for each marker in its text."""
        text = message.get("content")
        if not isinstance(text, str):
            return message
        hidden = self.pattern.sub(lambda found: chr(_FIRST + self.texts.index(found[0])), text)
        return {**message, "content": hidden}

    def show(self, text: str) -> str:
        """The text as it was typed."""
        known = range(_FIRST, _FIRST + len(self.texts))
        return _PRIVATE.sub(
            lambda found: self.texts[ord(found[0]) - _FIRST] if ord(found[0]) in known else found[0], text
        )


def keep_markers_text() -> None:
    """Let llama-cpp-python take as control tokens only those that the chat template writes.

    It renders the whole conversation and tokenizes it with all of them (its chat handler, `special=True`).
    """
    create: Any = llama_cpp.Llama.create_chat_completion
    tokenize = llama_cpp.Llama.tokenize
    known: dict[int, Markers] = {}

    def of(model: llama_cpp.Llama) -> Markers:
        return known.setdefault(id(model), Markers(model))

    def created(self: llama_cpp.Llama, messages: list[Any], **options: Any) -> Any:
        return create(self, messages=[of(self).hide(message) for message in messages], **options)

    def tokenized(
        self: llama_cpp.Llama, text: bytes, add_bos: bool = True, special: bool = False
    ) -> list[int]:
        if not special or not _PRIVATE.search(whole := text.decode("utf-8", "replace")):
            return tokenize(self, text, add_bos, special)
        ids = tokenize(self, b"", add_bos, special)
        for place, piece in enumerate(re.split(f"({of(self).pattern.pattern})", whole)):
            # every second piece is one of the template's own markers
            if piece:
                ids += tokenize(self, of(self).show(piece).encode("utf-8"), False, place % 2 == 1)
        return ids

    llama_cpp.Llama.create_chat_completion = created  # pyright: ignore[reportAttributeAccessIssue]
    llama_cpp.Llama.tokenize = tokenized


def whole_characters(raw: bytes) -> bytes:
    """`raw` with each sequence that can't become UTF-8 any more replaced by U+FFFD.

    A character that is only cut off at the end (at most 3 bytes) stays as it is: more may come.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(raw)
    return text.encode("utf-8") + decoder.getstate()[0]
