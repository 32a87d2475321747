"""Compiles chat templates in Jinja's sandbox: strangers' programs, without files, endless loops or texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from core.base.errors import UserError
from core.data.neutral import is_neutral
from core.data.room import GROWING, Room, TooMuch

LONGEST_TEMPLATE = 200_000
# rounds of loops in one rendering: a fixed part, one for each message, and one for each character; what the
# call of a macro counts; how many parts of a loop's body make it count once more
ROUNDS = 200_000
ROUNDS_A_MESSAGE = 2_000
CALL = 20
PARTS = 100
# a chat with which every honest template stays far below the bounds
USUAL_MESSAGES, USUAL_CHARACTERS = 1_000, 1_000_000


class Compiled:
    """A template ready to be rendered. The rounds of its loops are counted, and the text that it makes.

    neutral: whether it never decides anything by the messages' texts.
    """

    def __init__(self, source: str, day: date) -> None:
        if len(source) > LONGEST_TEMPLATE:
            raise UserError(
                f"The model's chat template is {len(source):,} characters long; at most {LONGEST_TEMPLATE:,} "
                "are taken. Check where the model comes from."
            )
        environment = _environment(day)
        try:
            tree = environment.parse(source)
            self.neutral = is_neutral(tree)
            _count_rounds(tree)
            code = environment.compile(_Joins().visit(tree))
        # deep nesting ends in Python's own limits
        except (jinja2.TemplateError, SyntaxError, RecursionError, MemoryError, ValueError) as error:
            raise UserError(f"The model's chat template is broken: {error}. Choose another model.") from error
        self._template = environment.template_class.from_code(
            environment, code, environment.make_globals(None)
        )
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

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator != "+":
            self.room.operate(operator, left, right)
        return self.room.made(self.binop_table[operator](left, right))

    def call(self, context: Any, function: Any, /, *values: Any, **named: Any) -> Any:
        if getattr(function, "__name__", "") in GROWING:
            # the sandbox's own `format` keeps the method that it stands for
            text = getattr(function, "__wrapped__", function).__self__
            self.room.grow(function.__name__, [text, *values, *named.values()])
        return self.room.made(super().call(context, function, *values, **named))


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
