"""Renders chats with a model's own chat template, in Jinja's sandbox, as Hugging Face does it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from core.errors import UserError
from core.files import read_json

LONGEST_TEMPLATE = 200_000
TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PLAIN = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'user' %}{{ '### Instruction:\n' + message['content'] + '\n\n' }}"
    "{% else %}{{ '### Response:\n' + message['content'] + eos_token + '\n\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}"
)


class TemplateRefused(Exception):
    """The template would not render this chat; the text is its own reason."""


class ChatTemplate:
    """One compiled chat template with the special tokens that it may name.

    `origin` says where it comes from: “model”, or “built-in” with its name. A template is a program of
    strangers: it runs in Jinja's sandbox and is refused over 200,000 characters, but nothing bounds the
    time of one that loops on purpose.
    """

    def __init__(self, source: str, special_tokens: dict[str, str], origin: str, now: datetime) -> None:
        self.source = source
        self.origin = origin
        self._special_tokens = special_tokens
        self._template = _compile(source, now)

    def render(self, messages: list[dict[str, str]], add_generation_prompt: bool = False) -> str:
        """The chat as one text. Raises TemplateRefused, e.g. for a system message the model can't take."""
        try:
            return self._template.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._special_tokens,
            )
        except (
            jinja2.TemplateError,
            TypeError,
            ValueError,
            LookupError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise TemplateRefused(str(error) or type(error).__name__) from error


def read_special_tokens(folder: Path) -> dict[str, str]:
    """Name → text of the model's special tokens (bos_token, eos_token, …), those that are set."""
    config = read_json(folder / "tokenizer_config.json", {})
    named = {**read_json(folder / "special_tokens_map.json", {}), **config}
    tokens = {name: _token_text(named.get(name)) for name in TOKEN_NAMES}
    return {name: text for name, text in tokens.items() if text}


def load_template(
    folder: Path,
    special_tokens: dict[str, str],
    control_tokens: set[str],
    adds_bos: bool,
    now: datetime,
) -> ChatTemplate:
    """The model's chat template, or a built-in one that fits its tokens; a UserError when neither works."""
    source = _model_template(folder)
    if source is not None:
        return ChatTemplate(source, special_tokens, "model", now)
    if {"<|im_start|>", "<|im_end|>"} <= control_tokens:
        source, name = CHATML, "ChatML"
    elif "eos_token" in special_tokens:
        source, name = PLAIN, "Instruction / Response"
    else:
        raise UserError(
            f"{folder.name} has neither a chat template nor an end-of-text token, so it can't learn to stop. "
            "Choose another model."
        )
    if adds_bos and "bos_token" in special_tokens:
        source = "{{ bos_token }}" + source
    return ChatTemplate(source, special_tokens, f"built-in: {name}", now)


def _model_template(folder: Path) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    templates = read_json(folder / "tokenizer_config.json", {}).get("chat_template")
    if isinstance(templates, list):
        named = {item["name"]: item["template"] for item in templates}
        return named.get("default") or next(iter(named.values()), None)
    return templates


def _token_text(token: Any) -> str | None:
    return token.get("content") if isinstance(token, dict) else token


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


def _compile(source: str, now: datetime) -> jinja2.Template:
    if len(source) > LONGEST_TEMPLATE:
        raise UserError(
            f"The model's chat template is {len(source):,} characters long; at most {LONGEST_TEMPLATE:,} are "
            "taken. Check where the model comes from."
        )
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    # One date for as long as this template is loaded: a row must not change at midnight.
    environment.globals["strftime_now"] = now.strftime
    try:
        return environment.from_string(source)
    except jinja2.TemplateError as error:
        raise UserError(f"The model's chat template is broken: {error}. Choose another model.") from error


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
