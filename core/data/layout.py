"""Lays out a chat: the template's own control tokens and what is to be trained, told from the row's text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.data.controls import Control, ControlTokens, Layout, Span
from core.data.plan import Plans
from core.data.template import ChatTemplate, TemplateRefused

Message = dict[str, str]

# Private-use characters that no tokenizer or template knows; those that a row uses itself are skipped.
_MARKS = range(0xF0000, 0xFFFFE)
_ANY_MARK = re.compile("[\U000f0000-\U000ffffd]")


class RowRefused(Exception):
    """Why a row can't be rendered safely; the text is a reason for the person who owns the data."""


class Layouts:
    """Lays out the chats of one template; `plans` knows the layouts of chats whose roles it has seen."""

    def __init__(self, template: ChatTemplate, controls: ControlTokens) -> None:
        self._template = template
        self._controls = controls
        self._plans = Plans(template, controls) if template.neutral else None

    def of(self, messages: list[Message]) -> Layout:
        """The layout of a chat. Raises RowRefused when the template won't take it, or when control-token
        text in it can't be told from the template's own.
        """
        planned = None if self._plans is None else self._plans.lay_out(messages)
        return planned or lay_out(self._template, self._controls, messages)


def lay_out(template: ChatTemplate, controls: ControlTokens, messages: list[Message]) -> Layout:
    """Render `messages` and find what is the template's and what is to be trained.

    Text of the row never counts as a control token, whatever it says. An answer is trained from where the
    model would start to write it to the end of the turn-end token, provided that the chat up to there is
    exactly what the model would have seen. Raises RowRefused when the template won't take the row, or when
    control-token text in the row can't be told from the template's own.
    """
    try:
        text = template.render(messages)
    except TemplateRefused as error:
        raise RowRefused(f"the model's chat template refuses it: {error}") from error
    marks = _content_marks(template, messages, text)
    owned = _contents(messages, marks)
    loose = [message for index, message in enumerate(messages) if index not in owned]
    foreign = [span for spans in owned.values() for span in spans]
    if any(controls.pattern.search(message["content"]) for message in loose):
        foreign += _forged(template, controls, messages, text)
    found = controls.find(text, _gaps(foreign, len(text)))
    trained, masked, unclosed = [], 0, 0
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        end_marks = [end for _, end in owned.get(index, [])]
        end_marks += [place for place, owner, closes in marks if owner == index and closes]
        span = _answer(template, messages, index, text, end_marks, found)
        if span is None:
            masked += 1
            continue
        trained.append(span[:2])
        unclosed += not span[2]
    return Layout(text, found, trained, masked, unclosed)


def _answer(
    template: ChatTemplate,
    messages: list[Message],
    index: int,
    text: str,
    ends: list[int],
    controls: list[Control],
) -> tuple[int, int, bool] | None:
    """(start, end, closed by a turn-end token) of the answer `index`; None if it must not be trained."""
    try:
        prompt = template.render(messages[:index], add_generation_prompt=True)
        alone = text if index == len(messages) - 1 else template.render(messages[: index + 1])
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
    closing = next((control for control in controls if control.start >= content_end), None)
    closed = closing is not None and not text[content_end : closing.start].strip()
    end = closing.end if closing is not None and closed else content_end
    # A later turn may make the template rewrite this one (Qwen3 drops old thinking): the model would then be
    # trained to continue in a way that it is never asked for.
    return (start, end, closed) if alone[:end] == text[:end] else None


def _content_marks(template: ChatTemplate, messages: list[Message], text: str) -> list[tuple[int, int, bool]]:
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
        rendered = template.render(marked)
    except TemplateRefused:
        return []
    marks = []
    position = 0
    # text and marks by turns
    parts = re.split(f"([{''.join(owners)}])", rendered)
    for plain, mark in zip(parts[::2], parts[1::2], strict=False):
        position += len(plain)
        marks.append((position, *owners[mark]))
    return marks if "".join(parts[::2]) == text else []


def _free_marks(texts: list[str]) -> Iterator[str]:
    """Marks that none of the texts uses."""
    used = {mark for text in texts for mark in _ANY_MARK.findall(text)}
    return (chr(code) for code in _MARKS if chr(code) not in used)


def _contents(messages: list[Message], marks: list[tuple[int, int, bool]]) -> dict[int, list[Span]]:
    """Message → where its content stands in the text; only messages whose marks all came out in pairs."""
    owned: dict[int, list[Span]] = {
        index: [] for index, message in enumerate(messages) if not message["content"].strip()
    }
    for index in {owner for _, owner, _ in marks}:
        own = [(place, closes) for place, owner, closes in marks if owner == index]
        starts, ends = own[::2], own[1::2]
        if len(starts) == len(ends) and not any(c for _, c in starts) and all(c for _, c in ends):
            owned[index] = [(one, two) for (one, _), (two, _) in zip(starts, ends, strict=True)]
    return owned


def _forged(
    template: ChatTemplate, controls: ControlTokens, messages: list[Message], text: str
) -> list[Span]:
    """Where control-token text of the messages' own stands in `text`.

    Found by rendering once more with every such text blotted out by as many marks; used where the template
    changes a content, so that its borders can't be marked. Raises RowRefused if the rendering differs
    elsewhere too.
    """
    blot = next(_free_marks([text, *(message["content"] for message in messages)]))
    blotted = [
        {**message, "content": controls.pattern.sub(lambda match: blot * len(match[0]), message["content"])}
        for message in messages
    ]
    try:
        rendered = template.render(blotted)
    except TemplateRefused:
        rendered = ""
    if len(rendered) != len(text) or any(
        one != two and one != blot for one, two in zip(rendered, text, strict=True)
    ):
        found = next(hit[0] for message in messages if (hit := controls.pattern.search(message["content"])))
        raise RowRefused(
            f"it contains “{found}”, which can't be told from the chat template's own there; reword that text"
        )
    return [match.span() for match in re.finditer(f"{blot}+", rendered)]


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
