"""Compiles chat templates in Jinja's sandbox: strangers' programs, without files, endless loops or texts.

Rounds of loops are counted while they go, texts are counted as they are made, and what could get too large is
refused before it is made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, ItemsView, Iterable, KeysView, ValuesView
from datetime import date
from functools import wraps
from itertools import islice
from typing import Any

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.parser import Parser
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from core.base.errors import UserError

LONGEST_TEMPLATE = 200_000
# rounds of loops in one rendering: a fixed part, one for each message, and one for each character; what the
# call of a macro counts; how many parts of a loop's body make it count once more
ROUNDS = 200_000
ROUNDS_A_MESSAGE = 2_000
CALL = 20
PARTS = 100
# a chat with which every honest template stays far below the bounds
USUAL_MESSAGES, USUAL_CHARACTERS = 1_000, 1_000_000
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
_OF_A_LOOP = {"index", "index0", "first", "last", "length"}
# a width in a format, or one that is said by another value
_WIDE = re.compile(r"%(?:\([^)]*\))?[^a-zA-Z%]*(?:\d{4}|\*)|\{[^{}]*:[^{}]*(?:\d{4}|\{)")


class Compiled:
    """A template ready to be rendered. The rounds of its loops are counted, and the text that it makes."""

    def __init__(self, source: str, day: date) -> None:
        if len(source) > LONGEST_TEMPLATE:
            raise UserError(
                f"The model's chat template is {len(source):,} characters long; at most {LONGEST_TEMPLATE:,} "
                "are taken. Check where the model comes from."
            )
        environment = _environment(day)
        try:
            tree = environment.parse(source)
            _count_rounds(tree)
            code = environment.compile(_Joins().visit(tree))
        # deep nesting ends in Python's own limits
        except (jinja2.TemplateError, SyntaxError, RecursionError, MemoryError, ValueError) as error:
            raise UserError(f"The model's chat template is broken: {error}. Choose another model.") from error
        # a plain dict: Jinja's own chain of them takes a quarter of each rendering to go through
        self._template = environment.template_class.from_code(environment, code, dict(environment.globals))
        self._rounds: Any = environment.extensions[_Rounds.identifier]
        self._room = environment.room
        # what a template did that had too much of a usual chat; it is not tried again, for a million rows
        # would take days to refuse. One huge chat says nothing about the others
        self._spent = ""

    def render(self, messages: list[dict[str, str]], **values: Any) -> str:
        """The text; whatever the template raises goes through."""
        if self._spent:
            raise TooMuch(self._spent)
        characters = sum(len(message["content"]) for message in messages)
        self._rounds.left = ROUNDS + ROUNDS_A_MESSAGE * len(messages) + characters
        self._room.open(len(messages), characters)
        try:
            return self._template.render(messages=messages, **values)
        except TooMuch as error:
            if len(messages) <= USUAL_MESSAGES and characters <= USUAL_CHARACTERS:
                self._spent = str(error)
            raise


class _Sandbox(ImmutableSandboxedEnvironment):
    """Also refuses to make a text, a list or a number that is large beyond all use."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        self.room = Room()
        super().__init__(finalize=self.room.written, **options)
        # what all pieces of the output, or of a macro, are put together with
        self.concat = self.room.joined
        filters = {**self.filters, "tojson": _to_json}
        self.filters |= {name: self.room.bounded(name, function) for name, function in filters.items()}
        # the length of all messages is asked for in loops over them; it is only a number
        self.filters |= {name: filters[name] for name in ("length", "count")}

    def getattr(self, obj: Any, attribute: str) -> Any:
        # what templates ask for at every turn, and nothing has to be checked of
        if type(obj) is dict and attribute in obj and not hasattr(dict, attribute):
            return obj[attribute]
        if type(obj) is LoopContext and attribute in _OF_A_LOOP:
            return getattr(obj, attribute)
        return super().getattr(obj, attribute)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and type(left) is type(right) is str:
            return self.room.text(left + right)
        if operator != "+":
            self.room.operate(operator, left, right)
        return self.room.counted(self.binop_table[operator](left, right))

    def call(self, context: Any, function: Any, /, *values: Any, **named: Any) -> Any:
        if getattr(function, "__name__", "") in GROWING:
            # the sandbox's own `format` keeps the method that it stands for
            text = getattr(function, "__wrapped__", function).__self__
            self.room.grow(function.__name__, [text, *values, *named.values()])
        return self.room.counted(super().call(context, function, *values, **named))


class _Joins(NodeTransformer):
    """Makes `a ~ b` the filter `[a, b] | join`, which is the same and can be bounded."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "join", [], [], None, None, lineno=node.lineno)


def _count_rounds(tree: nodes.Template) -> None:
    """Let every round of a loop and every call of a macro count first, more than once if it is long."""
    for node in tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock)):
        more = sum(1 for _ in node.find_all(nodes.Node)) // PARTS
        steps = ["round" if isinstance(node, nodes.For) else "call", *["round"] * more]
        node.body[:0] = [nodes.ExprStmt(nodes.ExtensionAttribute(_Rounds.identifier, step)) for step in steps]


class _Rounds(jinja2.ext.Extension):
    """Counts rounds down. A template names no extension, so it can't replace this one by its own."""

    left = 0

    @property
    def round(self) -> None:
        self._take(1)

    @property
    def call(self) -> None:
        self._take(CALL)

    def _take(self, cost: int) -> None:
        self.left -= cost
        if self.left < 0:
            raise TooMuch("it loops without end")


class _Generation(jinja2.ext.Extension):
    """`{% generation %}…{% endgeneration %}` marks answers for other trainers; here it only has to parse."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        # A CallBlock as in transformers: what is set inside it stays inside.
        return nodes.CallBlock(self.call_method("_inside"), [], [], body).set_lineno(line)

    def _inside(self, caller: Callable[[], str]) -> str:
        return caller()


def _environment(day: date) -> _Sandbox:
    environment = _Sandbox(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, _Rounds, jinja2.ext.loopcontrols]
    )
    # writes as much as it is asked for, and no chat template needs it
    del environment.globals["lipsum"]
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = day.strftime
    return environment


def _raise_exception(message: Any) -> None:
    # anything else could be without end as text
    raise jinja2.TemplateError(message if isinstance(message, str) else "it gives no reason")


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


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

    def text(self, value: str) -> str:
        """A text that was made, counted."""
        self.left -= len(value)
        if self.left < 0:
            raise TooMuch
        return value

    def counted(self, value: Any) -> Any:
        """A value that was made, counted."""
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
            return self.counted(function(*values, **named))

        return filter

    def _size(self, value: Any) -> int:
        """About as long as `value` is as text. Lists that hold one list twice, and so on, have no end."""
        size, parts, inside = 0, 0, [value]
        while inside:
            one = inside.pop()
            parts += 1
            size += _length(one) or 1
            if isinstance(one, Namespace):
                inside.extend(one._Namespace__attrs.values())  # pyright: ignore[reportAttributeAccessIssue]
            elif isinstance(one, (dict, ItemsView)):
                inside.extend(part for pair in dict(one).items() for part in pair)
            elif isinstance(one, (list, tuple, set, KeysView, ValuesView)):
                inside.extend(one)
            if size > self.left or parts > _MOST_PARTS:
                raise TooMuch
        return size


def _length(value: Any) -> int:
    """What a value takes, about, in characters; without what it refers to."""
    if isinstance(value, (str, bytes)):
        return len(value)
    return _ENTRY * len(value) if isinstance(value, (list, tuple, dict)) else 0
