"""Lays out chats of a neutral template without rendering: a plan for their roles, filled with their texts."""

from __future__ import annotations

from dataclasses import dataclass

from core.data.controls import ControlToken, ControlTokens, Layout, Span, place
from core.data.frames import Frame, Frames, Kept
from core.data.neutral import ROLES
from core.data.template import ChatTemplate


@dataclass(frozen=True, slots=True)
class Answer:
    """A trained answer: from `offset` in text `begin` to its slot, or `closing` in the text behind that."""

    begin: int
    offset: int
    slot: int
    closing: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The layout of every chat with the same roles. controls: (text, start, end, token), counted in it."""

    frame: Frame
    controls: list[tuple[int, int, int, ControlToken]]
    answers: list[Answer]
    masked: int

    def fill(self, contents: list[str]) -> Layout | None:
        """The layout with these texts; None if one of them is blank."""
        parts: list[str] = []
        begins: list[int] = []
        ends: list[int] = []
        position = 0
        for text, slot in zip(self.frame.texts, self.frame.slots, strict=False):
            content = contents[slot.message]
            core = content.strip()
            if not core:
                return None
            begins.append(position)
            position += len(text)
            written = content
            if not slot.left:
                written = written.lstrip()
            after = len(written) - len(written.rstrip())
            if not slot.right:
                written = written.rstrip()
            ends.append(position + len(written) - (after if slot.right else 0))
            position += len(written)
            parts += [text, written]
        begins.append(position)
        whole = "".join([*parts, self.frame.texts[-1]])
        controls = [
            place(whole, token, begins[text] + start, begins[text] + end)
            for text, start, end, token in self.controls
        ]
        trained: list[Span] = [
            (
                begins[answer.begin] + answer.offset,
                ends[answer.slot] if answer.closing is None else begins[answer.slot + 1] + answer.closing,
            )
            for answer in self.answers
        ]
        unclosed = sum(answer.closing is None for answer in self.answers)
        return Layout(whole, controls, trained, self.masked, unclosed)


class Plans:
    """The plans of one template, made when roles are first seen."""

    def __init__(self, template: ChatTemplate, controls: ControlTokens) -> None:
        self._frames = Frames(template)
        self._controls = controls
        # a token with white space in it could reach into a text's own
        self._simple = not any(any(map(str.isspace, text)) for text in controls.by_text)
        self._plans: Kept[Plan | None] = Kept()

    def lay_out(self, messages: list[dict[str, str]]) -> Layout | None:
        """The layout of a chat, None where only rendering it can tell."""
        roles = tuple(message["role"] for message in messages)
        if not self._simple or not ROLES.issuperset(roles) or any(len(message) != 2 for message in messages):
            return None
        plan = self._plans.of(roles, len(roles), lambda: self._make(roles))
        return None if plan is None else plan.fill([message["content"] for message in messages])

    def _make(self, roles: tuple[str, ...]) -> Plan | None:
        frame = self._frames.of(roles)
        if frame is None:
            return None
        controls = [
            (number, *match.span(), self._controls.by_text[match[0]])
            for number, text in enumerate(frame.texts)
            for match in self._controls.pattern.finditer(text)
        ]
        answers: list[Answer] = []
        masked = 0
        for index, role in enumerate(roles):
            if role != "assistant":
                continue
            prompt = self._frames.of(roles[:index], prompt=True)
            alone = self._frames.of(roles[: index + 1])
            if prompt is None or alone is None:
                masked += 1
                continue
            answer = self._answer(frame, prompt, alone, index)
            if answer is None:
                return None
            answers.append(answer)
        return Plan(frame, controls, answers, masked)

    def _answer(self, frame: Frame, prompt: Frame, alone: Frame, index: int) -> Answer | None:
        """Where an answer stands in the frame; None if the template rewrites it or what is before it."""
        begin = len(prompt.slots)
        slot = next((place for place, one in enumerate(frame.slots) if one.message == index), -1)
        if not prompt.begins(frame) or slot < begin:
            return None
        behind = frame.texts[slot + 1]
        found = self._controls.pattern.search(behind)
        closing = None if found is None or behind[: found.start()].strip() else found.end()
        until = Frame((*frame.texts[: slot + 1], behind[: closing or 0]), frame.slots[: slot + 1])
        return Answer(begin, len(prompt.texts[-1]), slot, closing) if until.begins(alone) else None
