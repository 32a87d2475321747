"""The chat template of a model: its own as Hugging Face renders it, or a standard one."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.files import read_json, write_atomic, write_json
from core.data.sandbox import Compiled
from core.data.standard_templates import AUTO, AUTO_ORDER, TEMPLATES, StandardTemplate

TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class TemplateRefused(Exception):
    """The template would not render this chat; the text is its own reason."""


class ChatTemplate:
    """One compiled chat template with the special tokens that it may name.

    `name` is “model”, or that of a standard template, whose `title` is for people. `note` says in a sentence
    why it is not the model's own. `day` is all it can print as today: a row must not change at midnight.
    `neutral`: whether it never decides anything by the messages' texts.
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
        self.neutral = self._compiled.neutral

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
        found = next((one for one in AUTO_ORDER if one in fitting), None)
        if found is None:
            raise UserError(
                f"{model} has neither a chat template nor an end-of-text token, so it can't learn to stop. "
                "Choose another model."
            )
        return found, TEMPLATES[found]
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
