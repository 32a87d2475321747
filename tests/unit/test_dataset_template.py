"""Chat templates: standard ones, one date, bounds for hostile ones."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from core.base.errors import UserError
from core.data import ChatTokenizer
from core.data.sandbox import Compiled, TooMuch
from core.data.template import TEMPLATES, write_template
from tests.unit.chat_models import FAMILIES, Family, write_model
from tests.unit.test_dataset_tokenize import chat_of, trained_text

NOTHING_KNOWN = date(2026, 3, 1)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model that has the tokens of every standard template."""
    tokens = {token for template in TEMPLATES.values() for token in template.tokens}
    family = Family(None, ("<s>", "</s>", *sorted(tokens)), "bytes", bos="<s>", eos="</s>")
    return write_model(tmp_path_factory.mktemp("models") / "everything", family)


# what a chat looks like; “$” is the end-of-text token
LOOKS = {
    "alpaca": "S\n\n### Instruction:\nQ\n\n### Response:\nA$\n\n",
    "chatml": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n"
    "<|im_start|>assistant\nA<|im_end|>\n",
    "llama-3": "<|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|>",
    "vicuna": "S\n\nUSER: Q\nASSISTANT: A$\n",
    "zephyr": "<|system|>\nS$\n<|user|>\nQ$\n<|assistant|>\nA$\n",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_standard_template_can_be_chosen(name: str, everything: Path) -> None:
    tokenizer = ChatTokenizer.load(everything, name)
    chat = chat_of("Q", "A", system="S")
    assert tokenizer.render(chat) == LOOKS[name].replace("$", "</s>")
    encoded = tokenizer.encode(chat)
    trained = trained_text(encoded)
    assert tokenizer.turn_end is not None
    assert trained.strip() == "A" + tokenizer.turn_end
    assert encoded.reason is None and encoded.masked_turns == 0
    assert tokenizer.template_name == name and TEMPLATES[name].title in tokenizer.template_note
    assert tokenizer.fitting_templates == list(TEMPLATES)


def test_auto_takes_the_models_own_or_what_fits(toy_tokenizers: dict[str, ChatTokenizer]) -> None:
    assert toy_tokenizers["llama3"].template_name == "model" and toy_tokenizers["llama3"].template_note == ""
    assert toy_tokenizers["base-chatml"].template_name == "chatml"
    assert toy_tokenizers["base"].template_name == "alpaca"
    assert "no chat template of its own" in toy_tokenizers["base"].template_note
    assert "llama-3" not in toy_tokenizers["base"].fitting_templates


def test_a_standard_template_instead_of_the_models_own_is_said(tmp_path: Path) -> None:
    folder = write_model(tmp_path, FAMILIES["llama3"])
    tokenizer = ChatTokenizer.load(folder, "alpaca")
    assert "instead of the model's own" in tokenizer.template_note
    assert tokenizer.turn_end == "<|eot_id|>"


def test_a_template_whose_tokens_are_missing_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path, FAMILIES["base"])
    with pytest.raises(UserError, match=r"“chatml” needs the tokens .*Choose one of: auto, alpaca"):
        ChatTokenizer.load(folder, "chatml")
    with pytest.raises(UserError, match="There is no chat template “nope”"):
        ChatTokenizer.load(folder, "nope")


def test_the_template_that_is_used_goes_with_the_tokenizer(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", FAMILIES["base"])
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", "chat_template": "own"}))
    tokenizer = ChatTokenizer.load(folder, "vicuna")
    (tmp_path / "adapter").mkdir()
    tokenizer.save(tmp_path / "adapter")
    # the old one stands nowhere any more: llama.cpp's converter reads it before the file
    assert "chat_template" not in json.loads((tmp_path / "adapter" / "tokenizer_config.json").read_text())
    again = ChatTokenizer.load(tmp_path / "adapter")
    assert (again.template_text, again.template_name) == (tokenizer.template_text, "model")
    chat = chat_of("Q", "A")
    assert again.encode(chat).ids == tokenizer.encode(chat).ids
    assert ChatTokenizer.load(folder).template_text == "own"


def test_writing_a_template_leaves_linked_files_alone(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", FAMILIES["base"])
    (folder / "chat_template.json").write_text('{"chat_template": "own"}')
    assert ChatTokenizer.load(folder).template_text == "own"
    shutil.copytree(folder, tmp_path / "copy")
    write_template(tmp_path / "copy", "new")
    assert ChatTokenizer.load(tmp_path / "copy").template_text == "new"
    assert not (tmp_path / "copy" / "chat_template.json").exists()


def test_one_day_is_printed_whatever_the_clock_says(tmp_path: Path) -> None:
    folder = write_model(tmp_path, FAMILIES["chatml"])
    (folder / "chat_template.jinja").write_text("{{ strftime_now('%d %b %Y %H:%M') }}")
    assert ChatTokenizer.load(folder, now=date(2031, 5, 4)).render([]) == "04 May 2031 00:00"


@pytest.mark.parametrize(
    "attack",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
        "{% for a in range(99999) recursive %}{{ loop(range(99999)) }}{% endfor %}",
        "{% for a in range(9999) %}{% generation %}{% for b in range(9999) %}{% endfor %}{% endgeneration %}"
        "{% endfor %}",
        "{{ 'x' * 10 ** 12 }}",
        "{{ [0] * 99999999999 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ lipsum(n=10 ** 9) }}",
        "{{ messages[0].content * 10 ** 12 }}",
    ],
)
def test_a_template_that_never_ends_is_refused(attack: str, tmp_path: Path) -> None:
    folder = write_model(tmp_path, FAMILIES["chatml"])
    (folder / "chat_template.jinja").write_text(attack)
    encoded = ChatTokenizer.load(folder).encode(chat_of("a", "b"))
    assert encoded.reason is not None and encoded.trained == 0


HUGE = "{% set huge = 'x' * 10 ** 6 %}"
DOUBLED = "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = SUM %}{% endfor %}"


@pytest.mark.parametrize(
    "attack",
    [
        *(DOUBLED.replace("SUM", twice) for twice in ("ns.x + ns.x", "ns.x ~ ns.x", "ns.x * ns.x | length")),
        *(DOUBLED.replace("SUM", "[ns.x, ns.x]") + written for written in ("{{ ns.x }}", "{{ ns | upper }}")),
        DOUBLED.replace("SUM", "{'a': ns.x, 'b': ns.x}") + "{{ ns.x | tojson }}",
        "{% set ns = namespace(x=9) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
        "{% for i in range(99999) %}" + "x" * 99_999 + "{% endfor %}",
        HUGE + "{% set long %}{% for i in range(99999) %}{{ huge }}{% endfor %}{% endset %}",
        HUGE + DOUBLED.replace("SUM", "[ns.x, huge | list]"),
        *(HUGE + "{{ " + call + " }}" for call in ("huge.replace('x', huge)", "huge | join(huge)")),
        *(
            HUGE + "{{ " + call + " }}"
            for call in ("huge | map('replace', 'x', huge) | join", "huge.join(huge)")
        ),
        *("{{ 'a'" + call + " }}" for call in (".center(9999999999)", " | indent(9999999999, true)")),
        *("{{ " + call + " }}" for call in ("'%9999999999d' % 1", "'{:a>{}}'.format(1, 9999999999)")),
        "{{ [1] | batch(9999999999, 0) | list }}{% filter center(9999999999) %}a{% endfilter %}",
    ],
)
def test_a_template_that_makes_endless_text_is_refused(attack: str) -> None:
    compiled = Compiled(attack, NOTHING_KNOWN)
    for _ in range(2):
        with pytest.raises(TooMuch, match="more text than any chat needs"):
            compiled.render(chat_of("a", "b"))


def test_what_a_bounded_template_writes_is_the_same() -> None:
    source = (
        "{{ 'a' ~ 1 ~ none ~ [2, 'b'] ~ {'c': 3} }}{{ '%03d|%s' % (7, 'x') }}{{ '{:>4}'.format('y') }}"
        "{{ messages | map(attribute='content') | join('-') }}{{ 'p q'.split() }}{{ undefined_name }}"
        "{{ ('ab' * 3).replace('a', 'cc') }}{{ 2 ** 10 + 7 % 4 }}{{ {'k': 'é'} | tojson(indent=1) }}"
    )
    usual = ImmutableSandboxedEnvironment()
    usual.filters["tojson"] = lambda value, indent: json.dumps(value, indent=indent, ensure_ascii=False)
    chat = chat_of("Hello", "there")
    assert Compiled(source, NOTHING_KNOWN).render(chat) == usual.from_string(source).render(messages=chat)


def test_a_chat_of_megabytes_has_room_in_the_bounds() -> None:
    source = "{% set ns = namespace(all='') %}{% for m in messages %}{% set ns.all = ns.all + m.content %}"
    source += "{% endfor %}{{ ns.all.replace('ab', '<think>') }}"
    chat = chat_of(*["ab" * 5000] * 200)
    assert len(Compiled(source, NOTHING_KNOWN).render(chat)) == 200 * 5000 * 7


def test_an_endless_template_is_tried_once(tmp_path: Path) -> None:
    endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"
    folder = write_model(tmp_path, FAMILIES["chatml"])
    (folder / "chat_template.jinja").write_text(endless)
    reason = ChatTokenizer.load(folder).encode(chat_of("a", "b")).reason
    assert reason == "the model's chat template refuses it: it loops without end"
    template, rendered = Compiled(endless, NOTHING_KNOWN), 0

    def count(**values: object) -> str:
        nonlocal rendered
        rendered += 1
        return tried(**values)

    tried, template._template.render = template._template.render, count  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(TooMuch):
            template.render(chat_of("a", "b"))
    assert rendered == 1


def test_a_huge_chat_that_is_refused_costs_only_itself() -> None:
    source = "{{ messages | map(attribute='content') | join }}"
    template = Compiled(source, NOTHING_KNOWN)
    with pytest.raises(TooMuch):
        template.render(chat_of(*["a"] * 60_000))
    assert template.render(chat_of("a", "b")) == "ab"


@pytest.mark.parametrize("source", ["{{ " + "(" * 5000 + ")" * 5000 + " }}", "{% if x %}" * 3000])
def test_a_template_nested_too_deep_is_refused(source: str) -> None:
    with pytest.raises(UserError, match="is broken"):
        Compiled(source, NOTHING_KNOWN)


def test_long_chats_have_room_in_the_bounds(toy_tokenizers: dict[str, ChatTokenizer]) -> None:
    encoded = toy_tokenizers["chatml"].encode(chat_of(*["Hello there"] * 120))
    assert encoded.reason is None and len(encoded.spans) == 60
