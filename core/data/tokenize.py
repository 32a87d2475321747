"""Turns chats into token ids and labels. The preview and the trainer both call `ChatTokenizer.encode`."""

from __future__ import annotations

import re
import shutil
import string
from bisect import bisect_right
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from core.base.errors import UserError, first_line
from core.base.files import read_json
from core.data.encoded import Encoded, Section
from core.data.layout import Chunk, ControlTokens, Layout, Layouts, RowRefused, chunks
from core.data.read.breaks import text_break
from core.data.shapes import Message
from core.data.template import (
    AUTO,
    ChatTemplate,
    TemplateRefused,
    fitting_templates,
    load_template,
    read_special_tokens,
    write_template,
)
from core.data.tokenizer_file import (
    added_texts,
    adds_bos,
    control_token,
    plain_tokenizers,
    prefixes_only_first,
    unknown_id,
)

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
# the role of a row's only message where the row is plain text
TEXT = "text"

# texts between control tokens whose ids are remembered: how many, and of how many characters
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 4096, 120

_NAMED = 5

# Ordinary added tokens that answers may write themselves; all others that a template uses steer the chat.
_WRITTEN_BY_MODELS = re.compile(r"think|reason|tool", re.IGNORECASE)


class ChatTokenizer:
    """A model's tokenizer and chat template without transformers or torch.

    special_tokens: name → text (bos_token, eos_token, …). control_tokens: text → id of every token that
    steers the model. template_text: the chat template; template_name: “model” or a standard one's name;
    template_source: the same for people; template_note: a sentence where it is not the model's own.
    fitting_templates: the standard templates that this model can use. turn_end: the token text that closes an
    answer, None where the template has none. eos_id, bos_id and pad_id may be None.
    """

    def __init__(
        self,
        definition: dict[str, Any],
        template: ChatTemplate,
        special_tokens: dict[str, str],
        controls: ControlTokens,
        loaded_from: tuple[Path, str, date],
    ) -> None:
        self._loaded_from = loaded_from
        self.special_tokens = special_tokens
        self.control_tokens = {text: token.id for text, token in controls.by_text.items()}
        self.template_name = template.name
        self.template_source = template.title
        self.template_note = template.note
        self.template_text = template.source
        self._template = template
        self._controls = controls
        self._layouts = Layouts(template, controls)
        self._leading, self._continuing = plain_tokenizers(definition, controls)
        encoders = {id(encoder): encoder for encoder in (self._leading, self._continuing)}
        self._remembered: list[tuple[Tokenizer, dict[str, list[int]]]] = [
            (encoder, {}) for encoder in encoders.values()
        ]
        self._prefix_after_token = not prefixes_only_first(definition)
        self._unknown = unknown_id(definition, self._leading)
        self._forbidden = set(self.control_tokens.values()) - {self._unknown}
        self._writable: set[str] = set()
        self.fitting_templates = fitting_templates(special_tokens, added_texts(definition))
        self.bos_id = self._id("bos_token")
        self.eos_id = self._id("eos_token")
        self.pad_id = self._id("pad_token")
        self._adds_bos = adds_bos(definition, special_tokens.get("bos_token"))
        self._lost_ascii = "".join(filter(self._is_lost, map(chr, range(128))))
        self.turn_end = self._find_turn_end()

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process reads the folder again, once."""
        return (_load_once, self._loaded_from)

    @classmethod
    def load(cls, folder: Path, template: str = AUTO, now: date | None = None) -> ChatTokenizer:
        """Read tokenizer.json, tokenizer_config.json and the chat template of a model folder.

        `template` is “auto” or the name of a standard one. `now` is the day that templates may print; a run's
        is in its recipe. Raises UserError naming what is missing or broken.
        """
        definition = read_json(folder / "tokenizer.json")
        if not isinstance(definition, dict) or "model" not in definition:
            raise UserError(
                f"{folder.name} has no usable tokenizer.json. Choose a model folder in Hugging Face format "
                "with a fast tokenizer."
            )
        try:
            return cls._of(definition, folder, template, now or date.today())
        # what is missing in a stranger's file, or is something else, is met only where it is needed
        except (AttributeError, KeyError, TypeError, UnicodeError) as error:
            raise UserError(
                f"The tokenizer files of {folder.name} are damaged ({type(error).__name__}: "
                f"{first_line(error)}). Get the model again."
            ) from error

    @classmethod
    def _of(cls, definition: dict[str, Any], folder: Path, template: str, day: date) -> ChatTokenizer:
        definition = {**definition, "truncation": None, "padding": None}
        special_tokens = read_special_tokens(folder)
        names = set(special_tokens.values())
        added = definition.get("added_tokens") or []
        special = {token["content"] for token in added if token["special"] or token["content"] in names}
        begins = adds_bos(definition, special_tokens.get("bos_token"))
        texts = added_texts(definition)
        chosen = load_template(folder, special_tokens, texts, begins, day, template)
        steering = special | _tokens_of_template(chosen, texts)
        controls = [control_token(token) for token in added if token["content"] in steering]
        loaded_from = (folder, template, day)
        return cls(definition, chosen, special_tokens, ControlTokens(controls), loaded_from)

    def save(self, folder: Path) -> None:
        """Copy the tokenizer's files to `folder`, with the chat template that is used."""
        source = self._loaded_from[0]
        for name in TOKENIZER_FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)
        write_template(folder, self.template_text)

    def render(self, messages: list[Message], add_generation_prompt: bool = False) -> str:
        """The row as text. Raises UserError with the template's own reason when it refuses the chat."""
        if is_text(messages):
            return "".join(section.text for section in self._text_row(messages[0]["content"]).sections)
        try:
            return self._template.render(messages, add_generation_prompt)
        except TemplateRefused as error:
            raise UserError(f"The model's chat template refuses this chat: {error}.") from error

    def encode(self, messages: list[Message], max_length: int | None = None) -> Encoded:
        """Token ids and labels of one row, cut from the right at `max_length` tokens; text is shown whole.

        Never raises for what a row contains: `reason` says why a row is unusable.
        """
        if not is_text(messages):
            return self.encode_many([messages], max_length)[0]
        encoded = self.encode_many([messages])[0]
        if max_length is not None and encoded.length > max_length:
            count = len(self.windows(messages, max_length))
            encoded.notes.append(
                f"trained in {count} windows of at most {max_length:,} tokens, nothing is cut"
            )
        return encoded

    def windows(self, messages: list[Message], max_length: int) -> list[list[Message]]:
        """The row as rows that fit: text is cut at paragraphs, line ends, sentences or words, and nothing of
        it is lost; a chat stays as it is.
        """
        if not is_text(messages) or not _is_whole(messages[0]["content"]):
            return [messages]
        text = messages[0]["content"]
        room = max(1, max_length - (self._adds_bos and self.bos_id is not None) - (self.eos_id is not None))
        ends = [end for _, end in self._leading.encode(text, add_special_tokens=False).offsets]
        if len(ends) <= room:
            return [messages]
        parts: list[str] = []
        start = place = 0
        while start < len(text):
            last = place + room - 1
            stop = text_break(text, start, len(text) if last >= len(ends) else max(ends[last], start + 1))
            # alone, a part can have a few tokens more than inside of the text
            while stop - start > 1 and self._count(text[start:stop]) > room:
                stop = text_break(text, start, start + max(1, (stop - start) * 7 // 8))
            parts.append(text[start:stop])
            start, place = stop, bisect_right(ends, stop, place)
        return [[{"role": TEXT, "content": part}] for part in parts if part.strip()]

    def _count(self, text: str) -> int:
        return len(self._leading.encode(text, add_special_tokens=False).ids)

    def encode_many(self, rows: Iterable[list[Message]], max_length: int | None = None) -> list[Encoded]:
        """`encode` of several rows, in one call of the tokenizer, which is faster."""
        encoded = [self._lay_out(messages) for messages in rows]
        self._fill([section for row in encoded for section in row.sections])
        return [self._finished(row, max_length) for row in encoded]

    def _lay_out(self, messages: list[Message]) -> Encoded:
        """The row, before the ids of its texts are known."""
        try:
            if is_text(messages):
                return self._text_row(messages[0]["content"])
            layout = self._layouts.of(messages)
            _check_characters(layout.text)
        except RowRefused as error:
            return Encoded(reason=str(error))
        sections = [self._section(chunk) for chunk in chunks(layout)]
        lost = self._lost(sections)
        notes = [*_notes(layout), *_lost_notes(lost)]
        return Encoded(sections, masked_turns=layout.masked_turns, lost=lost, notes=notes)

    def _text_row(self, text: str) -> Encoded:
        """Plain text to go on writing: all of it is trained, and the end-of-text token after it."""
        _check_characters(text)
        sections = [Section(text, [], True, self._leading)]
        notes = []
        if self._adds_bos and self.bos_id is not None:
            sections.insert(0, Section(self.special_tokens["bos_token"], [self.bos_id], False))
        if self.eos_id is None:
            notes.append("no end-of-text token is trained: the model has none")
        else:
            sections.append(Section(self.special_tokens["eos_token"], [self.eos_id], True))
        lost = self._lost(sections)
        return Encoded(sections, lost=lost, notes=[*notes, *_lost_notes(lost)])

    def _section(self, chunk: Chunk) -> Section:
        if chunk.control is not None:
            return Section(chunk.text, [chunk.control.id], chunk.trained)
        leading = chunk.place == "start" or (chunk.place == "after" and self._prefix_after_token)
        return Section(chunk.text, [], chunk.trained, self._leading if leading else self._continuing)

    def _fill(self, sections: list[Section]) -> None:
        """Give each text its ids. What the template writes between the texts is encoded once."""
        for encoder, remembered in self._remembered:
            own = [section for section in sections if section.encoder is encoder]
            fresh = list({section.text for section in own}.difference(remembered))
            encodings = encoder.encode_batch_fast(fresh, add_special_tokens=False)
            new = {text: encoding.ids for text, encoding in zip(fresh, encodings, strict=True)}
            for section in own:
                section.ids = new[section.text] if section.text in new else remembered[section.text]
            if len(remembered) < _MOST_REMEMBERED:
                remembered.update((text, new[text]) for text in fresh if len(text) <= _LONGEST_REMEMBERED)

    def _finished(self, encoded: Encoded, max_length: int | None) -> Encoded:
        """The row with its length and its trained spans, now that all ids are known."""
        encoded.max_length = max_length
        try:
            encoded.sections = [piece for section in encoded.sections for piece in self._unforged(section)]
        except RowRefused as error:
            return Encoded(max_length=max_length, reason=str(error))
        for section in encoded.sections:
            start = max(encoded.length, 1)
            encoded.length += len(section.ids)
            if not section.trained or start >= encoded.length:
                continue
            if encoded.spans and encoded.spans[-1][1] == start:
                start = encoded.spans.pop()[0]
            encoded.spans.append((start, encoded.length))
        encoded.reason = encoded.reason or _unusable(encoded)
        return encoded

    def _unforged(self, section: Section) -> list[Section]:
        """The section as it is, or in pieces where its text holds a control token as an ordinary word."""
        if section.encoder is None or self._forbidden.isdisjoint(section.ids):
            return [section]
        text = section.text
        # Some vocabularies hold the control token as an ordinary word too: break that word.
        breaks = [0, *(match.start() + 1 for match in self._controls.pattern.finditer(text)), len(text)]
        pieces = []
        for start, end in pairwise(breaks):
            encoder = section.encoder if start == 0 else self._continuing
            ids = encoder.encode(text[start:end], add_special_tokens=False).ids
            pieces.append(Section(text[start:end], ids, section.trained, encoder))
        if all(self._forbidden.isdisjoint(piece.ids) for piece in pieces):
            return pieces
        written = self._controls.pattern.search(text)
        raise RowRefused(
            f"this tokenizer can't write “{written[0] if written else text[:20]}” as plain text; reword it"
        )

    def _lost(self, sections: list[Section]) -> str:
        """The characters in the texts that the vocabulary can't write."""
        texts = [section.text for section in sections if section.encoder is not None]
        if all(map(str.isascii, texts)):
            return "".join(one for one in self._lost_ascii if any(one in text for text in texts))
        strange = set().union(*texts) - self._writable
        lost = {one for one in strange if self._is_lost(one)}
        self._writable |= strange - lost
        return "".join(sorted(lost))

    def _is_lost(self, character: str) -> bool:
        # some tokenizers split at white space and drop it
        if character in string.whitespace:
            return False
        ids = self._continuing.encode(character, add_special_tokens=False).ids
        if not ids or self._unknown in ids:
            return True
        # a vocabulary that lacks some bytes writes the others
        return character != "\ufffd" and "\ufffd" in self._continuing.decode(ids, skip_special_tokens=False)

    def _id(self, name: str) -> int | None:
        text = self.special_tokens.get(name)
        return None if text is None else self._leading.token_to_id(text)

    def _find_turn_end(self) -> str | None:
        chat = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
        try:
            layout = self._layouts.of(chat)
        except RowRefused:
            return None
        ends = {control.end: control.token.text for control in layout.controls}
        return ends.get(layout.trained[-1][1]) if layout.trained else None


@lru_cache(maxsize=1)
def _load_once(folder: Path, template: str, day: date) -> ChatTokenizer:
    return ChatTokenizer.load(folder, template, day)


def _notes(layout: Layout) -> list[str]:
    notes = []
    if layout.masked_turns:
        notes.append(
            f"{layout.masked_turns} earlier answer(s) not trained: the model's chat template rewrites them"
        )
    if layout.open_turns:
        notes.append(f"{layout.open_turns} answer(s) without a turn-end token: the template writes none")
    return notes


def _lost_notes(lost: str) -> list[str]:
    if not lost:
        return []
    named = ", ".join(f"U+{ord(character):04X}" for character in lost[:_NAMED])
    more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    return [f"the model has no token for {named}{more}: the model will not see these characters"]


def _unusable(encoded: Encoded) -> str | None:
    if encoded.trained:
        return None
    if encoded.spans:
        return f"every answer lies beyond the maximum length of {encoded.max_length} tokens"
    if encoded.masked_turns:
        return "no answer can be trained: the model's chat template rewrites or moves them"
    return "no answer to train"


def _is_whole(text: str) -> bool:
    """Whether it holds no half of a character pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RowRefused(f"it holds half a character ({error.object[error.start]!r}); remove it") from error


def is_text(messages: list[Message]) -> bool:
    """Whether a row is plain text to go on writing, not a chat."""
    return len(messages) == 1 and messages[0]["role"] == TEXT


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
