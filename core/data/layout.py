"""How a rendered chat falls apart: the template's control tokens, what is trained, and the chunks of text.

`Layouts.of` renders a chat and tells the template's part from the row's own text; `chunks` cuts a layout into
texts that are encoded alone.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from core.data.shapes import Message
from core.data.template import ChatTemplate, TemplateRefused

Span = tuple[int, int]
# how far before and behind its content an answer is trained, and whether a turn-end token closes it
_Outcome = tuple[int, int, bool] | None

# a chat of so many messages is long; near its end templates do other things; so many precedents settle it
_LONG, _NEAR_END, _ENOUGH = 64, 8, 16
_UNKNOWN: Any = object()

# Private-use characters that no tokenizer or template knows; those that a row uses itself are skipped.
_MARKS = range(0xF0000, 0xFFFFE)
_ANY_MARK = re.compile("([\U000f0000-\U000ffffd])")


class RowRefused(Exception):
    """Why a row can't be rendered safely; the text is a reason for the person who owns the data."""


@dataclass(frozen=True, slots=True)
class ControlToken:
    """A token that steers the model. `lstrip`/`rstrip`: it swallows the white space on that side."""

    text: str
    id: int
    lstrip: bool = False
    rstrip: bool = False


class Control(NamedTuple):
    """A control token that the template wrote: text[start:end], which swallows text[first:last]."""

    token: ControlToken
    start: int
    end: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A rendered chat: its text, the template's control tokens in order, and the spans to be trained.

    `masked_turns` counts answers that are not trained because the template rewrites them later in the chat.
    `open_turns` counts trained answers that no turn-end token follows.
    """

    text: str
    controls: list[Control]
    trained: list[Span]
    masked_turns: int
    open_turns: int


class ControlTokens:
    """All control tokens of a model, searched for as the tokenizer does: leftmost, then longest."""

    def __init__(self, tokens: list[ControlToken]) -> None:
        self.by_text = {token.text: token for token in tokens}
        longest_first = sorted(self.by_text, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def controls(self, text: str, within: list[Span]) -> list[Control]:
        """The control tokens that lie wholly inside one of the spans `within`."""
        return [
            _control(text, self.by_text[match[0]], *match.span())
            for start, end in within
            for match in self.pattern.finditer(text, start, end)
        ]


def _control(text: str, token: ControlToken, start: int, end: int) -> Control:
    first, last = start, end
    if token.lstrip:
        while first and text[first - 1].isspace():
            first -= 1
    if token.rstrip:
        while last < len(text) and text[last].isspace():
            last += 1
    return Control(token, start, end, first, last)


class Layouts:
    """Lays out the chats of one template, by rendering them: nothing else tells what a template will do."""

    def __init__(self, template: ChatTemplate, controls: ControlTokens) -> None:
        self._template = template
        self._tokens = controls

    def of(self, messages: list[Message]) -> Layout:
        """What of a rendered chat is the template's, and what is to be trained.

        Text of the row never counts as a control token, whatever it says. An answer is trained from where the
        model would start to write it to the end of the turn-end token, provided that the chat up to there is
        exactly what the model would have seen. Raises RowRefused when the template won't take the row, or
        when control-token text in the row can't be told from the template's own.
        """
        # the mark of an answer that is only read is none of the template's business
        unasked = {index for index, message in enumerate(messages) if "weight" in message}
        messages = [_said(message) for message in messages] if unasked else messages
        try:
            text = self._template.render(messages)
        except TemplateRefused as error:
            raise RowRefused(f"the model's chat template refuses it: {error}") from error
        marks = self._content_marks(messages, text)
        owned = _contents(messages, marks)
        foreign = [span for spans in owned.values() for span in spans]
        loose = [message["content"] for index, message in enumerate(messages) if index not in owned]
        if any(map(self._tokens.pattern.search, loose)):
            foreign += self._forged(messages, text)
        controls = self._tokens.controls(text, _gaps(foreign, len(text)))
        ends = {index: [end for _, end in spans] for index, spans in owned.items()}
        for place, owner, closes in marks:
            if closes:
                ends.setdefault(owner, []).append(place)
        trained, masked, unclosed = [], 0, 0
        precedents = _Precedents()
        for index, message in enumerate(messages):
            if message["role"] != "assistant" or index in unasked:
                continue
            alike = precedents.look(index, messages, owned, text)
            answer = precedents.answer(alike)
            if not alike or answer is _UNKNOWN:
                answer = self._answer(messages, index, text, ends.get(index, []), controls)
                precedents.note(alike, answer)
            if answer is None:
                masked += 1
                continue
            trained.append(answer[:2])
            unclosed += not answer[2]
        return Layout(text, controls, trained, masked, unclosed)

    def _answer(
        self, messages: list[Message], index: int, text: str, ends: list[int], controls: list[Control]
    ) -> tuple[int, int, bool] | None:
        """(start, end, closed by a turn-end token) of the answer `index`; None if it must not be trained."""
        try:
            prompt = self._template.render(messages[:index], add_generation_prompt=True)
            last = index == len(messages) - 1
            alone = text if last else self._template.render(messages[: index + 1])
        except TemplateRefused:
            return None
        if not text.startswith(prompt):
            return None
        start = len(prompt)
        content_end = min((end for end in ends if end >= start), default=None)
        if content_end is None:
            core = messages[index]["content"].strip()
            place = text.find(core, start)
            if place < 0:
                return None
            content_end = place + len(core)
        behind = bisect_left(controls, content_end, key=lambda control: control.start)
        closing = controls[behind] if behind < len(controls) else None
        closed = closing is not None and not text[content_end : closing.start].strip()
        end = closing.end if closing is not None and closed else content_end
        # A later turn may make the template rewrite this one (Qwen3 drops old thinking): the model would then
        # be trained to continue in a way that it is never asked for.
        return (start, end, closed) if alone.startswith(text[:end]) else None

    def _content_marks(self, messages: list[Message], text: str) -> list[tuple[int, int, bool]]:
        """(place in `text`, message, closes) of marks put around each content and rendered with it.

        Empty when the marks change what the template does.
        """
        free = _free_marks([text, *(message["content"] for message in messages)])
        owners: dict[str, tuple[int, bool]] = {}
        marked = []
        for index, message in enumerate(messages):
            content = message["content"]
            core = content.strip()
            opening, closing = next(free, ""), next(free, "")
            if core and closing:
                owners[opening], owners[closing] = (index, False), (index, True)
                content = content.replace(core, f"{opening}{core}{closing}", 1)
            marked.append({**message, "content": content})
        if not owners:
            return []
        try:
            rendered = self._template.render(marked)
        except TemplateRefused:
            return []
        marks: list[tuple[int, int, bool]] = []
        plain: list[str] = []
        position = 0
        for part in _ANY_MARK.split(rendered):
            if part in owners:
                marks.append((position, *owners[part]))
            else:
                position += len(part)
                plain.append(part)
        return marks if "".join(plain) == text else []

    def _forged(self, messages: list[Message], text: str) -> list[Span]:
        """Where control-token text of the messages' own stands in `text`.

        Found by rendering once more with every such text blotted out by as many marks; used where the
        template changes a content, so that its borders can't be marked. Raises RowRefused if the rendering
        differs elsewhere too.
        """
        pattern = self._tokens.pattern
        blot = next(_free_marks([text, *(message["content"] for message in messages)]))
        blotted = [
            {**message, "content": pattern.sub(lambda match: blot * len(match[0]), message["content"])}
            for message in messages
        ]
        try:
            rendered = self._template.render(blotted)
        except TemplateRefused:
            rendered = ""
        if len(rendered) != len(text) or any(
            one != two and one != blot for one, two in zip(rendered, text, strict=True)
        ):
            forged = next(hit[0] for message in messages if (hit := pattern.search(message["content"])))
            raise RowRefused(
                f"it contains “{forged}”, which can't be told from the chat template's own there; "
                "reword that text"
            )
        return [match.span() for match in re.finditer(f"{blot}+", rendered)]


def _said(message: Message) -> Message:
    return {"role": message["role"], "content": message["content"]}


class _Alike(NamedTuple):
    """How an answer stands in the text: what is around its content, which is text[start:end]."""

    start: int
    end: int
    around: tuple[str, str]


class _Precedents:
    """Answers of a very long chat that were looked at by rendering the chat up to them, in quadratic time:
    once so many had the same around them and came to the same, those alike are taken for the same.
    """

    def __init__(self) -> None:
        self._outcomes: dict[tuple[str, str], Counter[_Outcome]] = {}

    def look(
        self, index: int, messages: list[Message], owned: dict[int, list[Span]], text: str
    ) -> _Alike | None:
        """How the answer stands; None in a short chat, near the end, and where the template changed it."""
        if len(messages) < _LONG or not 0 < index < len(messages) - _NEAR_END:
            return None
        spans = [owned.get(place, []) for place in (index - 1, index, index + 1)]
        if any(len(one) != 1 for one in spans):
            return None
        (_, before), (start, end), (after, _) = (one[0] for one in spans)
        content = messages[index]["content"]
        if text[start:end] != content.strip() or "think" in content:
            return None
        return _Alike(start, end, (text[before:start], text[end:after]))

    def answer(self, alike: _Alike | None) -> Any:
        """What such an answer comes to; _UNKNOWN while too few are known, or they differ."""
        outcomes = self._outcomes.get(alike.around, Counter()) if alike else Counter()
        if alike is None or len(outcomes) != 1 or outcomes.total() < _ENOUGH:
            return _UNKNOWN
        outcome = next(iter(outcomes))
        if outcome is None:
            return None
        return alike.start - outcome[0], alike.end + outcome[1], outcome[2]

    def note(self, alike: _Alike | None, answer: tuple[int, int, bool] | None) -> None:
        """What an answer came to that was looked at."""
        if alike is not None:
            outcome = answer and (alike.start - answer[0], answer[1] - alike.end, answer[2])
            self._outcomes.setdefault(alike.around, Counter())[outcome] += 1


def _free_marks(texts: list[str]) -> Iterator[str]:
    """Marks that none of the texts uses."""
    used = {mark for text in texts if not text.isascii() for mark in _ANY_MARK.findall(text)}
    return (chr(code) for code in _MARKS if chr(code) not in used)


def _contents(messages: list[Message], marks: list[tuple[int, int, bool]]) -> dict[int, list[Span]]:
    """Message → where its content stands in the text; only messages whose marks all came out in pairs."""
    owned: dict[int, list[Span]] = {
        index: [] for index, message in enumerate(messages) if not message["content"].strip()
    }
    places: dict[int, list[tuple[int, bool]]] = {}
    for place, owner, closes in marks:
        places.setdefault(owner, []).append((place, closes))
    for index, own in places.items():
        starts, ends = own[::2], own[1::2]
        if len(starts) == len(ends) and not any(c for _, c in starts) and all(c for _, c in ends):
            owned[index] = [(one, two) for (one, _), (two, _) in zip(starts, ends, strict=True)]
    return owned


def _gaps(spans: list[Span], length: int) -> list[Span]:
    """The parts of range(length) that no span covers, in order."""
    gaps = []
    position = 0
    for start, end in sorted(spans):
        if start > position:
            gaps.append((position, start))
        position = max(position, end)
    gaps.append((position, length))
    return gaps


class Chunk(NamedTuple):
    """Text that is encoded alone. place: “start” of the whole text, “after” a control token, or “inside”
    running text. control: the token that the text is, None for running text.
    """

    text: str
    place: str
    trained: bool
    control: ControlToken | None


def chunks(layout: Layout) -> list[Chunk]:
    """The layout's whole text in order, cut at control tokens and where training begins and ends."""
    return _Cutter(layout).chunks


class _Cutter:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._spans = _united(layout.trained)
        self._starts = [start for start, _ in layout.trained]
        self._borders = sorted({border for span in layout.trained for border in span})
        self.chunks: list[Chunk] = []
        position, place = 0, "start"
        for control in layout.controls:
            first, last = self._reach(control, position)
            self._add_text(position, first, place)
            trained = self._is_trained(control.start, control.end)
            self.chunks.append(Chunk(layout.text[first:last], "after", trained, control.token))
            position, place = last, "after"
        self._add_text(position, len(layout.text), place)

    def _reach(self, control: Control, position: int) -> tuple[int, int]:
        """What the control token swallows; white space that an answer begins with is the answer's."""
        first, last = control.first, control.last
        if first < control.start:
            first = max([first, position, *(start for start in self._starts if start <= control.start)])
        if last > control.end:
            last = min([last, *(start for start in self._starts if start >= control.end)])
        return first, last

    def _add_text(self, start: int, end: int, place: str) -> None:
        inside = self._borders[bisect_right(self._borders, start) : bisect_left(self._borders, end)]
        for one, two in pairwise([start, *inside, end]):
            if one < two:
                text = self._layout.text[one:two]
                self.chunks.append(Chunk(text, place, self._is_trained(one, two), None))
                place = "inside"

    def _is_trained(self, start: int, end: int) -> bool:
        number = bisect_right(self._spans, (start, len(self._layout.text))) - 1
        return number >= 0 and end <= self._spans[number][1]


def _united(spans: list[Span]) -> list[Span]:
    """The spans in order, those that overlap made one."""
    united: list[Span] = []
    for start, end in sorted(spans):
        if united and start < united[-1][1]:
            start, end = united[-1][0], max(end, united.pop()[1])
        united.append((start, end))
    return united
