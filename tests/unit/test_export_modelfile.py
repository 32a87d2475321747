"""The Modelfile: its Go template says what the model's chat template says, for the families people train."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import UserError
from core.data import ChatTokenizer
from core.data.template import ChatTemplate, TemplateRefused
from core.export.modelfile import (
    Frame,
    Messages,
    ModelfileFacts,
    context_length,
    find_frame,
    modelfile,
)
from tests.real_parts import starter_folder

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
CHATML_LOOP = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEMPLATES = {
    "chatml": CHATML_LOOP,
    "qwen2.5": (
        "{% if messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud.<|im_end|>\n' }}{% endif %}"
        + CHATML_LOOP
    ),
    "qwen3": (
        "{% for m in messages %}{% set text = m['content'].split('</think>')[-1].lstrip('\n') "
        "if m['role'] == 'assistant' else m['content'] %}"
        "{{ '<|im_start|>' + m['role'] + '\n'"
        " + ('<think>\n\n</think>\n\n' if loop.last and m['role'] == 'assistant'"
        " else '') + text + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "llama-3": (
        "{% for m in messages %}{% set text = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' "
        "+ m['content'] | trim + '<|eot_id|>' %}{{ (bos_token if loop.first else '') + text }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
    "llama-3.1": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set s = messages[0]['content'] | trim %}"
        "{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}"
        "{{ '<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
        "Today Date: 26 Jul 2024\n\n' + s + '<|eot_id|>' }}"
        "{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' "
        "+ m['content'] | trim + '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
    "gemma-2": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
        "{{ raise_exception('System role not supported') }}"
        "{% endif %}{% for m in messages %}"
        "{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
        "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
    ),
    "gemma-3": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
        "{% set first = messages[0]['content'] + '\n\n' %}"
        "{% set messages = messages[1:] %}{% else %}{% set first = '' %}{% endif %}"
        "{% for m in messages %}{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
        "{{ '<start_of_turn>' + role + '\n' + (first if loop.first else '') + m['content'] | trim "
        "+ '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<start_of_turn>model\n' }}{% endif %}"
    ),
    "mistral": (
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] '"
        " + m['content'] + ' [/INST]' }}"
        "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}"
        "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}"
        "{% endfor %}"
    ),
    "llama-2": (
        "{% if messages[0]['role'] == 'system' %}{% set s = '<<SYS>>\n' + messages[0]['content']"
        " + '\n<</SYS>>\n\n' %}"
        "{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}{% for m in messages %}"
        "{% set text = s + m['content'] if loop.first else m['content'] %}{% if m['role'] == 'user' %}"
        "{{ '[INST] ' + text + ' [/INST]' }}{% else %}{{ ' ' + text + ' ' + eos_token }}{% endif %}"
        "{% endfor %}"
    ),
    "phi-3": (
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
    ),
    "phi-4": (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '<|im_sep|>' + m['content'] + '<|im_end|>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"
    ),
    "zephyr": (
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
    ),
    "alpaca": (
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ '### Instruction:\n' + m['content']"
        " + '\n\n' }}"
        "{% elif m['role'] == 'system' %}{{ m['content'] + '\n\n' }}"
        "{% else %}{{ '### Response:\n' + m['content'] + eos_token + '\n\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}"
    ),
}
SYSTEMS = {"gemma-2": "refused", "mistral": "refused", "gemma-3": "in user turn", "llama-2": "in user turn"}
CONTROLS = [
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "<|im_sep|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
]
CONTROLS += [
    "<|eot_id|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|end|>",
]
TALKS = [
    [("user", "Hello")],
    [("user", "One"), ("assistant", "Two"), ("user", "Three\nlines")],
    [("system", "Talk like a pirate."), ("user", "Hello")],
    [
        ("system", "Short."),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
        ("assistant", "d"),
        ("user", "e"),
    ],
]


def renderer(source: str) -> Callable[[Messages, bool], str]:
    template = ChatTemplate(source, TOKENS, date(2026, 1, 1))

    def render(messages: Messages, generation: bool = False) -> str:
        try:
            return template.render(messages, generation)
        except TemplateRefused as error:
            raise UserError(str(error)) from error

    return render


def go(template: str, messages: Messages) -> str:
    """Evaluates the few Go actions that a Frame writes: range, if, else if, end, fields and one variable."""
    parts = re.split(r"\{\{ (.*?) \}\}", template)
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    return "".join(_block(parts, 0, {"System": system, "Messages": messages, "$s": ""}, True)[0])


def _block(parts: list[str], at: int, scope: dict[str, Any], live: bool) -> tuple[list[str], int]:
    """Output from part `at` to the `end` or `else` that closes the block, and where that stands."""
    out: list[str] = []
    while True:
        if live:
            out.append(parts[at])
        if at + 1 >= len(parts) or parts[at + 1].split()[0] in ("end", "else"):
            return out, at + 1
        action = parts[at + 1]
        if action == "range .Messages":
            for message in scope["Messages"]:
                scope.update(Role=message["role"], Content=message["content"])
                inner, end = _block(parts, at + 2, scope, live)
                out += inner
            at = end + 1
        elif action.startswith("if "):
            inner, at = _branches(parts, at + 1, scope, live)
            out += inner
        else:
            out += _value(action, scope) if live else []
            at += 2


def _branches(parts: list[str], at: int, scope: dict[str, Any], live: bool) -> tuple[list[str], int]:
    out: list[str] = []
    taken = False
    while parts[at] != "end":
        true = live and not taken and _true(parts[at].removeprefix("else "), scope)
        inner, at = _block(parts, at + 1, scope, true)
        out += inner
        taken = taken or true
    return out, at + 1


def _true(condition: str, scope: dict[str, Any]) -> bool:
    if match := re.fullmatch(r'if eq \.Role "(\w+)"', condition):
        return scope["Role"] == match[1]
    return {"if not .System": not scope["System"], "if $s": bool(scope["$s"])}[condition]


def _value(action: str, scope: dict[str, Any]) -> Iterator[str]:
    if action in ('$s := ""', '$s = ""'):
        scope["$s"] = ""
    elif action == "$s = .Content":
        scope["$s"] = scope["Content"]
    else:
        yield scope[action.removeprefix(".")]


@pytest.mark.parametrize("family", TEMPLATES)
def test_the_go_template_renders_what_jinja_renders(family: str) -> None:
    render = renderer(TEMPLATES[family])
    frame = find_frame(render, "<s>", CONTROLS)
    assert frame is not None
    assert frame.system == SYSTEMS.get(family, "own turn")
    template = frame.go_template()
    assert not template.startswith("<s>")
    for talk in TALKS:
        messages = [{"role": role, "content": content} for role, content in talk]
        if messages[0]["role"] == "system" and frame.system == "refused":
            continue
        assert go(template, messages) == frame.render(messages) == render(messages, True).removeprefix("<s>")


def test_pieces_are_cut_as_a_person_would() -> None:
    frame = find_frame(renderer(TEMPLATES["phi-3"]), "<s>", CONTROLS)
    assert frame is not None
    assert (frame.user_open, frame.answer_close) == ("<|user|>\n", "<|end|>\n")
    frame = find_frame(renderer(TEMPLATES["qwen2.5"]), "<s>", CONTROLS)
    assert frame is not None
    assert frame.default_system == "You are Qwen, created by Alibaba Cloud."
    assert frame.system_open == "<|im_start|>system\n"


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}{{ loop.index }}: {{ m['content'] }}\n{% endfor %}",
        "{{ messages[-1]['content'] }}",
        "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}",
        "{{ raise_exception('no') }}",
        "{% for m in messages %}" + '"""' + "{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}",
        "{% for m in messages %}{% if m['role'] == 'user' %}[INST] "
        "{% if messages[0]['role'] == 'system' and loop.last %}"
        "{{ messages[0]['content'] }}\n\n{% endif %}{{ m['content'] }}[/INST]"
        "{% elif m['role'] == 'assistant' %}{{ m['content'] }}</s>{% endif %}{% endfor %}",
    ],
    ids=[
        "counts turns",
        "last message only",
        "changes the text",
        "refuses",
        "quotes",
        "system before the last turn",
    ],
)
def test_no_frame_no_template(source: str) -> None:
    frame = find_frame(renderer(source), "<s>", CONTROLS)
    assert frame is None
    text = modelfile(ModelfileFacts("m.gguf", "m", 512, 8192, None, ["</s>"]))
    assert "\nTEMPLATE" not in text and "# TEMPLATE is left out" in text


def test_the_starter_model() -> None:
    tokenizer = ChatTokenizer.load(starter_folder())
    # llama.cpp adds no beginning-of-text token to this model, so nothing may be taken off
    frame = find_frame(tokenizer.render, "", tokenizer.control_tokens)
    text = modelfile(
        ModelfileFacts("pirate.gguf", "pirate:q4_k_m", 512, 8192, frame, ["<|im_end|>"], "apache-2.0")
    )
    assert text == Path(__file__).with_name("starter.Modelfile").read_text("utf-8")


@pytest.mark.parametrize(
    ("trained", "limit", "expected"),
    [(512, 8192, 2048), (4096, 8192, 4096), (4096, 2048, 2048), (512, None, 2048)],
)
def test_context(trained: int, limit: int | None, expected: int) -> None:
    assert context_length(trained, limit) == expected


def test_quotes_in_stops_and_licences() -> None:
    frame = Frame("", "U: ", "\nA: ", "\n", "\nA: ")
    text = modelfile(ModelfileFacts("m.gguf", "m", 99, None, frame, ['a"b', "x\ny"], 'says """hi"""'))
    assert 'PARAMETER stop "a\\"b"\n' in text and 'PARAMETER stop "x\\ny"\n' in text
    assert "LICENSE \"\"\"says '''hi'''\"\"\"" in text
    assert "takes no system text" in text
