"""The chat template of a model: its own as Hugging Face renders it, or a standard one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.files import read_json, write_atomic, write_json
from core.data.sandbox import Compiled

TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


AUTO = "auto"

_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_ALPACA = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'user' %}{{ '### Instruction:\n' + message['content'] + '\n\n' }}"
    "{% else %}{{ '### Response:\n' + message['content'] + eos_token + '\n\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}"
)
_LLAMA3 = (
    "{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
    "+ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
_VICUNA = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'USER: ' + message['content'] + '\n' }}"
    "{% else %}{{ 'ASSISTANT: ' + message['content'] + eos_token + '\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
_ZEPHYR = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token "
    "+ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


@dataclass(frozen=True)
class StandardTemplate:
    """One template. `help` is what a person needs to know before choosing it; `tokens` must be in the model's
    vocabulary; without any, end-of-text ends a turn.
    """

    title: str
    help: str
    source: str
    tokens: tuple[str, ...] = ()

    def fits(self, added: set[str], special_tokens: dict[str, str]) -> bool:
        """Whether a model can use it, by its added tokens and its named special tokens."""
        return added.issuperset(self.tokens) if self.tokens else "eos_token" in special_tokens

    def needs(self) -> str:
        """What a model must have, in words."""
        return f"the tokens {' and '.join(self.tokens)}" if self.tokens else "an end-of-text token"


_PLAIN = "Plain text, for every model with an end-of-text token."
TEMPLATES = {
    "alpaca": StandardTemplate(
        "Instruction / Response", f"### Instruction and ### Response. {_PLAIN}", _ALPACA
    ),
    "chatml": StandardTemplate(
        "ChatML",
        "<|im_start|> and <|im_end|>, as Qwen and SmolLM. Only for models that have these tokens.",
        _CHATML,
        ("<|im_start|>", "<|im_end|>"),
    ),
    "llama-3": StandardTemplate(
        "Llama 3",
        "<|start_header_id|> and <|eot_id|>. Only for models that have these tokens; "
        "a base model has them but never learned them, so “alpaca” is often the better start there.",
        _LLAMA3,
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ),
    "vicuna": StandardTemplate("Vicuna", f"USER: and ASSISTANT:. {_PLAIN}", _VICUNA),
    "zephyr": StandardTemplate("Zephyr", f"<|user|> and <|assistant|> written out. {_PLAIN}", _ZEPHYR),
}
# what “auto” takes for a model without a template: the first that fits
AUTO_ORDER = ("chatml", "alpaca")


class TemplateRefused(Exception):
    """The template would not render this chat; the text is its own reason."""


class ChatTemplate:
    """One compiled chat template with the special tokens that it may name.

    `name` is “model”, or that of a standard template, whose `title` is for people. `note` says in a sentence
    why it is not the model's own. `day` is all it can print as today: a row must not change at midnight.
    """

    def __init__(
        self, source: str, special_tokens: dict[str, str], day: date, name: str = "model", note: str = ""
    ) -> None:
        self.source = source
        self.name = name
        self.title = "model" if name == "model" else f"built-in: {TEMPLATES[name].title}"
        self.note = note
        self._special_tokens = special_tokens
        self._compiled = Compiled(source, day)

    def render(self, messages: list[dict[str, str]], add_generation_prompt: bool = False) -> str:
        """The chat as one text. Raises TemplateRefused, e.g. for a system message the model can't take."""
        try:
            return self._compiled.render(
                messages,
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._special_tokens,
            )
        except Exception as error:  # a stranger's program may raise anything
            raise TemplateRefused(str(error) or type(error).__name__) from error


def read_special_tokens(folder: Path) -> dict[str, str]:
    """Name → text of the model's special tokens (bos_token, eos_token, …), those that are set."""
    config = read_json(folder / "tokenizer_config.json", {})
    named = {**read_json(folder / "special_tokens_map.json", {}), **config}
    tokens = {name: _token_text(named.get(name)) for name in TOKEN_NAMES}
    return {name: text for name, text in tokens.items() if text}


def load_template(
    folder: Path, special_tokens: dict[str, str], added: set[str], adds_bos: bool, day: date, name: str = AUTO
) -> ChatTemplate:
    """The template called `name`; “auto” is the model's own, or a standard one that fits where it has none.

    `added` are the texts of the tokenizer's added tokens. A UserError says what the model lacks.
    """
    own = _model_template(folder)
    if own is not None and name == AUTO:
        return ChatTemplate(own, special_tokens, day)
    name, standard = _choose(name, folder.name, special_tokens, added)
    source = standard.source
    if adds_bos and "bos_token" in special_tokens:
        source = "{{ bos_token }}" + source
    if own is None:
        why = f"The model has no chat template of its own: the standard one “{standard.title}” is used"
    else:
        why = f"The standard chat template “{standard.title}” was chosen instead of the model's own"
    note = f"{why}. It goes with the adapter and into every export."
    return ChatTemplate(source, special_tokens, day, name, note)


def write_template(folder: Path, source: str) -> None:
    """Make `source` the one chat template of a model folder: some programs read others before it."""
    config = read_json(folder / "tokenizer_config.json", {})
    if config.pop("chat_template", None) is not None:
        write_json(folder / "tokenizer_config.json", config)
    (folder / "chat_template.json").unlink(missing_ok=True)
    write_atomic(folder / "chat_template.jinja", source)


def fitting_templates(special_tokens: dict[str, str], added: set[str]) -> list[str]:
    """The names of the standard templates that a model can use."""
    return [name for name, template in TEMPLATES.items() if template.fits(added, special_tokens)]


def _choose(
    name: str, model: str, special_tokens: dict[str, str], added: set[str]
) -> tuple[str, StandardTemplate]:
    fitting = fitting_templates(special_tokens, added)
    if name == AUTO:
        first = next((one for one in AUTO_ORDER if one in fitting), None)
        if first is None:
            raise UserError(
                f"{model} has neither a chat template nor an end-of-text token, so it can't learn to stop. "
                "Choose another model."
            )
        return first, TEMPLATES[first]
    offer = f"Choose one of: {', '.join([AUTO, *fitting])}."
    if name not in TEMPLATES:
        raise UserError(f"There is no chat template “{name}”. {offer}")
    if name not in fitting:
        raise UserError(
            f"The chat template “{name}” needs {TEMPLATES[name].needs()}; {model} lacks it. {offer}"
        )
    return name, TEMPLATES[name]


def _model_template(folder: Path) -> str | None:
    file = folder / "chat_template.jinja"
    try:
        if file.is_file():
            return file.read_text("utf-8") or None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} can't be read: {error}. Get the model again.") from error
    config = read_json(folder / "tokenizer_config.json", {})
    templates = config.get("chat_template") or read_json(folder / "chat_template.json", {}).get(
        "chat_template"
    )
    if isinstance(templates, list):
        named = {item.get("name"): item.get("template") for item in templates if isinstance(item, dict)}
        templates = named.get("default") or next(iter(named.values()), None)
    if templates is not None and not isinstance(templates, str):
        raise UserError(f"The chat template in {folder} is not a text. Get the model again.")
    return templates or None


def _token_text(token: Any) -> str | None:
    return token.get("content") if isinstance(token, dict) else token
