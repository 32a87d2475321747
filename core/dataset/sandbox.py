"""Compiles chat templates in Jinja's sandbox: strangers' programs, without files and endless loops."""

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

from core.dataset.neutral import is_neutral
from core.errors import UserError

LONGEST_TEMPLATE = 200_000
ENDLESS = "it loops without end"
# rounds of loops in one rendering: a fixed part, one for each message, and one for each character; what the
# call of a macro counts
ROUNDS = 200_000
ROUNDS_A_MESSAGE = 2_000
CALL = 20
_LONGEST_REPEAT = 1_000_000
_LARGEST_POWER = 1_000


class Compiled:
    """A template ready to be rendered. Rounds of its loops are counted, memory is not bounded.

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
            for node in tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock)):
                step = "round" if isinstance(node, nodes.For) else "call"
                node.body.insert(0, nodes.ExprStmt(nodes.ExtensionAttribute(_Rounds.identifier, step)))
            code = environment.compile(tree)
        # deep nesting ends in Python's own limits
        except (jinja2.TemplateError, SyntaxError, RecursionError, MemoryError, ValueError) as error:
            raise UserError(f"The model's chat template is broken: {error}. Choose another model.") from error
        self._template = environment.template_class.from_code(
            environment, code, environment.make_globals(None)
        )
        self._rounds: Any = environment.extensions[_Rounds.identifier]

    def render(self, messages: list[dict[str, str]], **values: Any) -> str:
        """The text; whatever the template raises goes through."""
        if self._rounds.spent:
            raise jinja2.exceptions.SecurityError(ENDLESS)
        characters = sum(len(message["content"]) for message in messages)
        self._rounds.left = ROUNDS + ROUNDS_A_MESSAGE * len(messages) + characters
        return self._template.render(messages=messages, **values)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Also refuses to repeat a text, or to raise a number, beyond all use."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            too_large = abs(right) > _LARGEST_POWER or abs(left) > _LONGEST_REPEAT
        else:
            too_large = any(
                hasattr(one, "__len__") and isinstance(two, int) and len(one) * two > _LONGEST_REPEAT
                for one, two in ((left, right), (right, left))
            )
        if too_large:
            raise jinja2.exceptions.SecurityError(f"it uses “{operator}” on very large values")
        return super().call_binop(context, operator, left, right)


class _Rounds(jinja2.ext.Extension):
    """Counts rounds down. A template names no extension, so it can't replace this one by its own."""

    left = 0
    # such a template is not tried again: a million rows would take days to refuse
    spent = False

    @property
    def round(self) -> None:
        self._take(1)

    @property
    def call(self) -> None:
        self._take(CALL)

    def _take(self, cost: int) -> None:
        self.left -= cost
        if self.left < 0:
            self.spent = True
            raise jinja2.exceptions.SecurityError(ENDLESS)


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
    environment.filters["tojson"] = _to_json
    # writes as much as it is asked for, and no chat template needs it
    del environment.globals["lipsum"]
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = day.strftime
    return environment


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


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
