"""What a neutral chat template writes around the texts: rendered once for each sequence of roles.

A template that never looks at the texts (`neutral`) renders “before A between B after” for all texts A and B
that are not blank, so where an answer begins and ends, and whether the chat before it stays as it was, is
known for every chat of the same roles.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from core.data.template import ChatTemplate, TemplateRefused

# about 150 MB of frames; a chat of a thousand turns has half a million messages in its frames
MOST_MESSAGES = 1_000_000
Value = TypeVar("Value")
_OPEN, _CLOSE = "\U000f0000", "\U000f0001"
# white space that no template writes itself
_SPACE = "\u2003"
_SLOT = re.compile(f"({_SPACE}?){_OPEN}([0-9]+){_CLOSE}({_SPACE}?)")


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a message's text stands, and whether the white space on its sides is kept there."""

    message: int
    left: bool
    right: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """A rendering without its texts: texts[0] slots[0] texts[1] … texts[-1]."""

    texts: tuple[str, ...]
    slots: tuple[Slot, ...]

    def begins(self, other: Frame) -> bool:
        """Whether `other` begins with the whole of this one."""
        last = len(self.slots)
        return (
            other.slots[:last] == self.slots
            and other.texts[:last] == self.texts[:last]
            and other.texts[last].startswith(self.texts[last])
        )


class Kept(Generic[Value]):
    """Values by the roles of chats, forgotten when these come to too many messages."""

    def __init__(self) -> None:
        self._values: dict[Hashable, Value] = {}
        self._messages = 0

    def of(self, key: Hashable, messages: int, make: Callable[[], Value]) -> Value:
        """The value that is kept, or else made now; `messages` is how many its chat has."""
        if key not in self._values:
            self._messages += messages
            if self._messages > MOST_MESSAGES:
                self._values.clear()
                self._messages = messages
            self._values[key] = make()
        return self._values[key]


class Frames:
    """The frames of one template, kept by their roles."""

    def __init__(self, template: ChatTemplate) -> None:
        self._template = template
        self._kept: Kept[Frame | None] = Kept()

    def of(self, roles: tuple[str, ...], prompt: bool = False) -> Frame | None:
        """The frame of a chat with these roles, None where the template refuses them."""
        return self._kept.of((roles, prompt), len(roles), lambda: self._read(roles, prompt))

    def _read(self, roles: tuple[str, ...], prompt: bool) -> Frame | None:
        messages = [
            {"role": role, "content": f"{_SPACE}{_OPEN}{place}{_CLOSE}{_SPACE}"}
            for place, role in enumerate(roles)
        ]
        try:
            rendered = self._template.render(messages, add_generation_prompt=prompt)
        except TemplateRefused:
            return None
        parts = _SLOT.split(rendered)
        slots = [
            Slot(int(number), bool(left), bool(right))
            for left, number, right in zip(parts[1::4], parts[2::4], parts[3::4], strict=True)
        ]
        return Frame(tuple(parts[::4]), tuple(slots))
