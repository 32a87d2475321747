"""How much a stranger's template may make in one rendering: told before a value is made, counted after."""

from __future__ import annotations

import re
from collections.abc import Callable, ItemsView, Iterable, KeysView, ValuesView
from functools import wraps
from itertools import islice
from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.utils import Namespace

# characters that all values made in one rendering may have: a fixed part, and so many for each character of
# the chat; a template that adds every message to one text makes that text anew each time
ROOM = 100_000_000
ROOM_A_CHARACTER = 64
ROOM_A_CHARACTER_AND_MESSAGE = 8
# an entry of a list takes as much as so many characters
_ENTRY = 8
# a list with more parts, counted over all lists in it, is not looked through
_MOST_PARTS = 100_000
_MOST_BITS = 10_000
_AT_ONCE = 1000
# filters and methods that are told by a number how long the result gets
_PADDING = {"batch", "indent", "slice", "tojson", "wordwrap", "center"}
_PADDING |= {"expandtabs", "ljust", "rjust", "zfill"}
# these, and others whose result may be longer than all that goes in
GROWING = _PADDING | {"format", "format_map", "join", "replace", "translate", "urlize", "xmlattr"}
# a width in a format, or one that is said by another value
_WIDE = re.compile(r"%(?:\([^)]*\))?[^a-zA-Z%]*(?:\d{4}|\*)|\{[^{}]*:[^{}]*(?:\d{4}|\{)")


class TooMuch(SecurityError):
    """A template goes on, or makes texts, beyond all use."""

    def __init__(self, reason: str = "it makes more text than any chat needs") -> None:
        super().__init__(reason)


class Room:
    """Counts down what one rendering may make; raises TooMuch."""

    def __init__(self) -> None:
        self.left = ROOM

    def open(self, messages: int, characters: int) -> None:
        """A new rendering begins, of a chat of so many messages."""
        each = ROOM_A_CHARACTER + ROOM_A_CHARACTER_AND_MESSAGE * messages
        self.left = ROOM + each * characters

    def need(self, size: int) -> None:
        """So much is about to be made."""
        if size > self.left:
            raise TooMuch

    def made(self, value: Any) -> Any:
        """`value`, counted."""
        self.left -= _length(value)
        self.need(0)
        return value

    def written(self, value: Any) -> Any:
        """`value`, which is about to be written as text, counted unless it is one already."""
        if type(value) is not str:
            self.left -= self._size(value)
        return value

    def joined(self, pieces: Iterable[str]) -> str:
        """The pieces of text as one."""
        rest, kept = iter(pieces), []
        while some := list(islice(rest, _AT_ONCE)):
            self.left -= sum(map(len, some)) + len(some)
            self.need(0)
            kept += some
        return "".join(kept)

    def operate(self, operator: str, left: Any, right: Any) -> None:
        """Refuse `left operator right` if it would be too large; a sum never is, beside what is added."""
        if operator == "%":
            if isinstance(left, str):
                self.grow("format", [left, right])
        elif isinstance(left, (int, float)) and isinstance(right, (int, float)):
            bits = int(left).bit_length(), int(right).bit_length()
            if (bits[0] * abs(right) if operator == "**" else sum(bits)) > _MOST_BITS:
                raise TooMuch
        else:
            many, text = (left, right) if isinstance(left, int) else (right, left)
            self.need(_length(text) * many if isinstance(many, int) else 0)

    def grow(self, name: str, values: list[Any]) -> None:
        """Refuse a filter or method if its result could be too large: one value for each part of another."""
        if name.startswith("format") and any(isinstance(one, str) and _WIDE.search(one) for one in values):
            raise TooMuch
        sizes = [abs(one) if isinstance(one, int) and name in _PADDING else self._size(one) for one in values]
        self.need((max(sizes) + 1) * (sum(sizes) - max(sizes) + 1))

    def bounded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The filter called `name`, which asks first and counts what it has made."""

        @wraps(function)
        def filter(*values: Any, **named: Any) -> Any:
            if name in GROWING:
                self.grow(name, [*values, *named.values()])
            for value in values:
                if not isinstance(value, str):
                    self._size(value)
            return self.made(function(*values, **named))

        return filter

    def _size(self, value: Any) -> int:
        """About as long as `value` is as text. Lists that hold one list twice, and so on, have no end."""
        size, seen, inside = 0, 0, [value]
        while inside:
            one = inside.pop()
            seen += 1
            size += _length(one) or 1
            if isinstance(one, Namespace):
                inside.extend(one._Namespace__attrs.values())  # pyright: ignore[reportAttributeAccessIssue]
            elif isinstance(one, (dict, ItemsView)):
                inside.extend(part for pair in dict(one).items() for part in pair)
            elif isinstance(one, (list, tuple, set, KeysView, ValuesView)):
                inside.extend(one)
            if size > self.left or seen > _MOST_PARTS:
                raise TooMuch
        return size


def _length(value: Any) -> int:
    """What a value takes, about, in characters; without what it refers to."""
    if isinstance(value, (str, bytes)):
        return len(value)
    return _ENTRY * len(value) if isinstance(value, (list, tuple, dict)) else 0
