"""Text and tokens of one model: chats become the ids of the training, tokens become text again.

Control markers typed into a conversation stay text: nobody can forge a turn by writing `<|im_start|>`.
"""

from __future__ import annotations

import codecs
import ctypes
import re
from datetime import date
from typing import Any

from llama_cpp import llama_cpp as c

from core.base.errors import UserError
from core.data.template import TEMPLATES, ChatTemplate, TemplateRefused

# one private character (Unicode, plane 15) for each control token, from rendering to tokenizing
_FIRST = 0xF0000


class Vocabulary:
    """What one model reads and writes. `template` is its chat template; without one it is ChatML."""

    def __init__(self, vocab: Any, template: str | None) -> None:
        self._vocab = vocab
        self.size: int = c.llama_vocab_n_tokens(vocab)
        self._bos = c.llama_vocab_bos(vocab)
        begins = c.llama_vocab_get_add_bos(vocab)
        steering = c.LLAMA_TOKEN_ATTR_CONTROL
        tokens = [token for token in range(self.size) if c.llama_vocab_get_attr(vocab, token) & steering]
        self.markers = {text: token for token in tokens if (text := self._text(token))}
        # the longest first: one may begin like another
        texts = sorted(self.markers, key=len, reverse=True)
        self._pattern = re.compile(f"({'|'.join(map(re.escape, texts)) or '(?!)'})")
        self._hidden = {text: chr(_FIRST + place) for place, text in enumerate(texts)}
        self._shown = str.maketrans({character: text for text, character in self._hidden.items()})
        named = {name: getattr(c, f"llama_vocab_{name}")(vocab) for name in ("bos", "eos", "sep", "pad")}
        special = {f"{name}_token": self._text(token) for name, token in named.items() if token >= 0}
        source = template or ("{{ bos_token }}" if begins else "") + TEMPLATES["chatml"].source
        self._template = ChatTemplate(source, special, date.today())

    def chat(self, messages: list[dict[str, str]]) -> list[int]:
        """The ids of a conversation up to where the answer begins. A UserError if the template refuses it."""
        hidden = [{**message, "content": self._hide(message["content"])} for message in messages]
        try:
            prompt = self._template.render(hidden, add_generation_prompt=True)
        except TemplateRefused as error:
            raise UserError(f"The model's chat template refuses this conversation: {error}.") from error
        ids: list[int] = []
        for place, piece in enumerate(self._pattern.split(prompt)):
            # every second piece is one of the template's own markers
            ids += [self.markers[piece]] if place % 2 else self.tokenize(piece.translate(self._shown))
        return ids

    def prompt(self, text: str) -> list[int]:
        """The ids of a text to go on writing, in which markers count as what they are."""
        ids = self.tokenize(text, begin=True, markers=True)
        return ids[1:] if ids[:2] == [self._bos] * 2 else ids

    def tokenize(self, text: str, begin: bool = False, markers: bool = False) -> list[int]:
        """The ids of a text; with the token that begins one, with markers as control tokens."""
        raw = text.encode("utf-8")
        # no token is shorter than a byte, but for the few that begin and end a text
        ids = (c.llama_token * (len(raw) + 8))()
        count = c.llama_tokenize(self._vocab, raw, len(raw), ids, len(ids), begin, markers)
        if count < 0:
            raise UserError("llama.cpp can't read this text. Use other words.")
        return ids[:count]

    def piece(self, token: int) -> bytes:
        """What a token writes: nothing if it steers the model; maybe only a part of a character."""
        size = -32
        # llama.cpp answers the size, negative, where the room is too small
        while size < 0:
            written = ctypes.create_string_buffer(-size)
            size = c.llama_token_to_piece(self._vocab, token, written, -size, 0, False)
        return written.raw[:size]

    def ends(self, token: int) -> bool:
        """Whether the model says by it that its answer is over."""
        return c.llama_vocab_is_eog(self._vocab, token)

    def _hide(self, text: str) -> str:
        return self._pattern.sub(lambda typed: self._hidden[typed[0]], text)

    def _text(self, token: int) -> str:
        return c.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace")


class Speech:
    """The bytes of an answer as text to send.

    Bytes that can never be a character become U+FFFD at once; a character that is only cut off waits for its
    rest, and what could be the beginning of a stop text waits until it is certain.
    """

    def __init__(self, stops: list[str]) -> None:
        self._stops = stops
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting = ""
        self.stopped = False

    def add(self, raw: bytes, final: bool = False) -> str:
        """The text that is certain now; all of it where the answer is over."""
        if self.stopped:
            return ""
        text = self._waiting + self._decoder.decode(raw, final)
        ends = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        self.stopped = bool(ends)
        certain = min(ends) if ends else len(text)
        if not ends and not final:
            certain -= max((_overlap(text, stop) for stop in self._stops), default=0)
        self._waiting = text[certain:]
        return text[:certain]


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`."""
    sizes = range(min(len(text), len(stop) - 1), 0, -1)
    return next((size for size in sizes if text.endswith(stop[:size])), 0)
