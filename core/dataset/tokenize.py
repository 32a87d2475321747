"""Turns chats into token ids and labels. The preview and the trainer both call `ChatTokenizer.encode`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer

from core.dataset.layout import ControlToken, ControlTokens, Layout, Message, RowRefused, Span, lay_out
from core.dataset.template import ChatTemplate, TemplateRefused, load_template, read_special_tokens
from core.errors import UserError
from core.files import read_json

IGNORED = -100

# Ordinary added tokens that answers may write themselves; all others that a template uses steer the chat.
_WRITTEN_BY_MODELS = re.compile(r"think|reason|tool", re.IGNORECASE)


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
class Encoded:
    """One chat as the model sees it.

    ids, labels: as long as each other, at most max_length; a label is the id itself where it is trained and
    -100 where it is not. cut: tokens lost to max_length. pieces: every token, the cut ones too.
    masked_turns: answers left out because the template rewrites them. reason: why the row can't be used.
    """

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    cut: int = 0
    masked_turns: int = 0
    notes: list[str] = field(default_factory=list)
    reason: str | None = None

    @property
    def trained(self) -> int:
        """How many tokens are trained."""
        return sum(label != IGNORED for label in self.labels)


class ChatTokenizer:
    """A model's tokenizer and chat template without transformers or torch.

    special_tokens: name → text (bos_token, eos_token, …). control_tokens: text → id of every token that
    steers the model. template_text: the chat template; template_source: “model” or “built-in: …”.
    turn_end: the token text that closes an answer, None where the template has none. eos_id, bos_id and
    pad_id may be None.
    """

    def __init__(
        self,
        definition: dict[str, Any],
        template: ChatTemplate,
        special_tokens: dict[str, str],
        controls: ControlTokens,
    ) -> None:
        self.special_tokens = special_tokens
        self.control_tokens = {text: token.id for text, token in controls.by_text.items()}
        self.template_source = template.origin
        self.template_text = template.source
        self._template = template
        self._controls = controls
        self._leading, self._continuing = _tokenizers(definition, controls)
        self._prefix_after_token = not _prefixes_only_first(definition)
        self._forbidden = set(self.control_tokens.values()) - {_unknown_id(definition, self._leading)}
        self.bos_id = self._id("bos_token")
        self.eos_id = self._id("eos_token")
        self.pad_id = self._id("pad_token")
        self.turn_end = self._find_turn_end()

    @classmethod
    def load(cls, folder: Path, now: datetime | None = None) -> ChatTokenizer:
        """Read tokenizer.json, tokenizer_config.json and the chat template of a model folder.

        `now` is the date that templates may print. Raises UserError naming what is missing or broken.
        """
        definition = read_json(folder / "tokenizer.json")
        if not isinstance(definition, dict) or "model" not in definition:
            raise UserError(
                f"{folder.name} has no usable tokenizer.json. Choose a model folder in Hugging Face format "
                "with a fast tokenizer."
            )
        definition = {**definition, "truncation": None, "padding": None}
        special_tokens = read_special_tokens(folder)
        names = set(special_tokens.values())
        added = definition.get("added_tokens") or []
        special = {token["content"] for token in added if token["special"] or token["content"] in names}
        adds_bos = _adds_bos(definition, special_tokens.get("bos_token"))
        template = load_template(folder, special_tokens, special, adds_bos, now or datetime.now())
        steering = special | _tokens_of_template(template, {token["content"] for token in added})
        controls = [_control(token) for token in added if token["content"] in steering]
        return cls(definition, template, special_tokens, ControlTokens(controls))

    def render(self, messages: list[Message], add_generation_prompt: bool = False) -> str:
        """The chat as text. Raises UserError with the template's own reason when it refuses the chat."""
        try:
            return self._template.render(messages, add_generation_prompt)
        except TemplateRefused as error:
            raise UserError(f"The model's chat template refuses this chat: {error}.") from error

    def encode(self, messages: list[Message], max_length: int | None = None) -> Encoded:
        """Token ids and labels of one chat, cut from the right at `max_length` tokens.

        Never raises for what a row contains: `reason` says why a row is unusable.
        """
        try:
            layout = lay_out(self._template, self._controls, messages)
            tokens = [token for chunk in _chunks(layout) for token in self._encode_chunk(*chunk)]
        except RowRefused as error:
            return Encoded(reason=str(error))
        keep = len(tokens) if max_length is None else max_length
        pieces = [Piece(*token, cut=place >= keep) for place, token in enumerate(tokens)]
        kept = pieces[:keep]
        encoded = Encoded(
            ids=[piece.id for piece in kept],
            labels=[piece.id if piece.trained else IGNORED for piece in kept],
            pieces=pieces,
            cut=len(pieces) - len(kept),
            masked_turns=layout.masked_turns,
            notes=_notes(layout),
        )
        encoded.reason = _unusable(encoded, max_length)
        return encoded

    def _encode_chunk(
        self, text: str, place: str, trained: bool, control: ControlToken | None
    ) -> list[tuple[str, int, bool, bool]]:
        """(text, id, trained, special) of each token of one chunk."""
        if control is not None:
            return [(text, control.id, trained, True)]
        leading = place == "start" or (place == "after" and self._prefix_after_token)
        tokens = self._plain(text, leading)
        return [(part, number, trained, False) for part, number in tokens]

    def _plain(self, text: str, leading: bool) -> list[tuple[str, int]]:
        """(text, id) of text that must not become a control token, whatever it says."""
        encoder = self._leading if leading else self._continuing
        tokens = _pieces(text, encoder.encode(text, add_special_tokens=False))
        if self._forbidden.isdisjoint(number for _, number in tokens):
            return tokens
        # Some vocabularies hold the control token as an ordinary word too: break that word.
        breaks = [0, *(match.start() + 1 for match in self._controls.pattern.finditer(text)), len(text)]
        tokens = []
        for start, end in pairwise(breaks):
            encoder = self._leading if leading and start == 0 else self._continuing
            tokens += _pieces(text[start:end], encoder.encode(text[start:end], add_special_tokens=False))
        if self._forbidden.isdisjoint(number for _, number in tokens):
            return tokens
        found = self._controls.pattern.search(text)
        raise RowRefused(
            f"this tokenizer can't write “{found[0] if found else text[:20]}” as plain text; reword it"
        )

    def _id(self, name: str) -> int | None:
        text = self.special_tokens.get(name)
        return None if text is None else self._leading.token_to_id(text)

    def _find_turn_end(self) -> str | None:
        chat = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
        try:
            layout = lay_out(self._template, self._controls, chat)
        except RowRefused:
            return None
        ends = {control.end: control.token.text for control in layout.controls}
        return ends.get(layout.trained[-1][1]) if layout.trained else None


def _chunks(layout: Layout) -> Iterator[tuple[str, str, bool, ControlToken | None]]:
    """(text, place, trained, control token) of each chunk, in order, covering the whole text.

    place: “start” of the text, “after” a control token, or “inside” running text.
    """
    borders = sorted({border for span in layout.trained for border in span})
    starts = [start for start, _ in layout.trained]
    position, place = 0, "start"
    for control in layout.controls:
        # White space that an answer begins with is the answer's, even beside a token that would swallow it.
        first = max([control.first, position, *(start for start in starts if start <= control.start)])
        last = min([control.last, *(start for start in starts if start >= control.end)])
        yield from _text_chunks(layout, position, first, place, borders)
        trained = _is_trained(layout.trained, control.start, control.end)
        yield layout.text[first:last], "after", trained, control.token
        position, place = last, "after"
    yield from _text_chunks(layout, position, len(layout.text), place, borders)


def _text_chunks(
    layout: Layout, start: int, end: int, place: str, borders: list[int]
) -> Iterator[tuple[str, str, bool, None]]:
    cuts = [start, *(border for border in borders if start < border < end), end]
    for one, two in pairwise(cuts):
        if one < two:
            yield layout.text[one:two], place, _is_trained(layout.trained, one, two), None
            place = "inside"


def _is_trained(spans: list[Span], start: int, end: int) -> bool:
    return any(one <= start and end <= two for one, two in spans)


def _pieces(text: str, encoding: Encoding) -> list[tuple[str, int]]:
    """(text, id) of each token. Of tokens that share a character (an emoji's bytes), one has its text."""
    pieces = []
    position = 0
    last = len(encoding.ids) - 1
    for place, (number, (_, end)) in enumerate(zip(encoding.ids, encoding.offsets, strict=True)):
        end = len(text) if place == last else max(end, position)
        pieces.append((text[position:end], number))
        position = end
    return pieces


def _notes(layout: Layout) -> list[str]:
    notes = []
    if layout.masked_turns:
        notes.append(
            f"{layout.masked_turns} earlier answer(s) not trained: the model's chat template rewrites them"
        )
    if layout.open_turns:
        notes.append(f"{layout.open_turns} answer(s) without a turn-end token: the template writes none")
    return notes


def _unusable(encoded: Encoded, max_length: int | None) -> str | None:
    if encoded.trained:
        return None
    if any(piece.trained for piece in encoded.pieces):
        return f"every answer lies beyond the maximum length of {max_length} tokens"
    if encoded.masked_turns:
        return "no answer can be trained: the model's chat template rewrites or moves them"
    return "no answer to train"


def _control(token: dict[str, Any]) -> ControlToken:
    return ControlToken(token["content"], token["id"], token["lstrip"], token["rstrip"])


def _tokens_of_template(template: ChatTemplate, added: set[str]) -> set[str]:
    """Added tokens that the template writes around turns, though the tokenizer does not call them special."""
    user, answer = {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}
    text = ""
    for chat, prompt in (([user], True), ([user, answer, user], False)):
        try:
            text += template.render(chat, prompt)
        except TemplateRefused:
            continue
    return {token for token in added if token in text and not _WRITTEN_BY_MODELS.search(token)}


def _tokenizers(definition: dict[str, Any], controls: ControlTokens) -> tuple[Tokenizer, Tokenizer]:
    """(tokenizer of text that begins a section, tokenizer of text that continues one).

    They differ where the model's own puts a space before the first word. Both take control-token text as
    plain text.
    """
    added = [
        {**token, "special": token["special"] or token["content"] in controls.by_text}
        for token in definition.get("added_tokens") or []
    ]
    definition = {**definition, "added_tokens": added}
    continued = {
        **definition,
        "normalizer": _without_prefix(definition.get("normalizer")),
        "pre_tokenizer": _without_prefix(definition.get("pre_tokenizer")),
    }
    leading = _plain_tokenizer(definition)
    return leading, leading if continued == definition else _plain_tokenizer(continued)


def _plain_tokenizer(definition: dict[str, Any]) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(json.dumps(definition))
    except Exception as error:  # the library raises bare Exception
        raise UserError(
            f"The model's tokenizer.json can't be used: {error}. Choose another model."
        ) from error
    tokenizer.encode_special_tokens = True
    return tokenizer


def _without_prefix(part: dict[str, Any] | None) -> dict[str, Any] | None:
    """A normalizer or pre-tokenizer without the space that it puts before the first word."""
    if part is None or part["type"] == "Prepend":
        return None
    if part["type"] == "Metaspace":
        return {**part, "prepend_scheme": "never", "add_prefix_space": False}
    if part["type"] == "ByteLevel":
        return {**part, "add_prefix_space": False}
    if part["type"] == "Sequence":
        key = "normalizers" if "normalizers" in part else "pretokenizers"
        inner = [_without_prefix(item) for item in part[key]]
        return {**part, key: [item for item in inner if item is not None]}
    return part


def _prefixes_only_first(definition: dict[str, Any]) -> bool:
    """Whether the space before the first word is put at the text's very start only, not after each token."""
    part: dict[str, Any] = definition.get("pre_tokenizer") or {"type": ""}
    parts: list[dict[str, Any]] = part.get("pretokenizers", [part])
    return any(item["type"] == "Metaspace" and item.get("prepend_scheme") == "first" for item in parts)


def _unknown_id(definition: dict[str, Any], tokenizer: Tokenizer) -> int | None:
    model = definition["model"]
    if model.get("unk_token") is not None:
        return tokenizer.token_to_id(model["unk_token"])
    return model.get("unk_id")


def _adds_bos(definition: dict[str, Any], bos: str | None) -> bool:
    """Whether the tokenizer puts the begin-of-text token before a text by itself."""
    return bos is not None and json.dumps(bos) in json.dumps(definition.get("post_processor"))
