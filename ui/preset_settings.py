"""Step 3, all settings: each with its unit, range, default and help, and a mark where it differs."""

from __future__ import annotations

from typing import Any

from core.base.errors import UserError
from core.recipe import Recipe, knobs
from ui.bench import Bench
from ui.html import button, esc, fold

ELSEWHERE = ("model", "data", "columns", "fixes", "chat_template", "preset")
_LABELS = {
    "name": "Name of the run",
    "heldout": "Held-out file",
    "heldout_share": "Held-out share",
    "max_length": "Maximum length",
    "max_steps": "Most steps",
    "max_grad_norm": "Longest gradient",
    "checkpointing": "Gradient checkpointing",
    "eval_every": "Held-out loss every",
    "save_every": "Checkpoint every",
    "micro_batch": "Micro-batch",
    "warmup": "Warm-up",
}


def settings_html(bench: Bench) -> str:
    """All settings in groups; each with unit, range, default, help, and a mark where the preset differs."""
    usual = bench.preset()[0].recipe()
    changes = bench.choices().changes
    groups: dict[str, list[str]] = {}
    for name, knob in knobs().items():
        if name not in ELSEWHERE:
            value = changes.get(name, getattr(usual, name))
            groups.setdefault(knob["group"], []).append(knob_html(name, knob, value, getattr(usual, name)))
    body = "".join(
        f"<fieldset class='lg-group'><legend>{esc(group)}</legend>{''.join(fields)}</fieldset>"
        for group, fields in groups.items()
    )
    note = f" <small>{len(changes)} changed</small>" if changes else " <small>as in the preset</small>"
    reset = button("settings-reset", "reset-all", "Back to the preset", "quiet") if changes else ""
    search = (
        '<label class="lg-field" for="settings-search">Find a setting'
        '<input id="settings-search" type="search" data-filter=".lg-knob" data-keep></label>'
    )
    return fold(
        "settings", f"All settings{note}", f"<div class='lg-settings-head'>{search}{reset}</div>{body}"
    )


def knob_html(name: str, knob: dict[str, Any], value: Any, usual: Any) -> str:
    """One setting: label, field, unit, help with range and the preset's value."""
    changed = value != usual
    identifier = f"set-{name}"
    mark = (
        f'<button type="button" class="lg-mark" id="{identifier}-reset" data-act="reset" data-value="{name}" '
        f'title="Back to {esc(shown(usual))}">changed<span class="lg-hidden">, press to go back to '
        f"{esc(shown(usual))}</span></button>"
        if changed
        else ""
    )
    allowed = limits(knob)
    usual_words = f"Preset: {shown(usual)}." if shown(usual) else "Preset: empty."
    help_text = " ".join(filter(None, (knob["help"], allowed, usual_words)))
    unit = f"<span class='lg-unit'>{esc(knob['unit'])}</span>" if knob["unit"] else ""
    return (
        f'<div class="lg-knob{" lg-changed" if changed else ""}">'
        f'<label for="{identifier}">{esc(label(name))}</label>{mark}'
        f'<div class="lg-input">{_field(identifier, name, knob, value)}{unit}</div>'
        f'<small id="{identifier}-help">{esc(help_text)}</small></div>'
    )


def _field(identifier: str, name: str, knob: dict[str, Any], value: Any) -> str:
    common = f'id="{identifier}" data-name="{name}" aria-describedby="{identifier}-help"'
    if knob["choices"]:
        options = "".join(
            f'<option value="{esc(choice)}"{" selected" if choice == value else ""}>{esc(choice)}</option>'
            for choice in knob["choices"]
        )
        return f"<select {common}>{options}</select>"
    if isinstance(value, bool):
        return f'<input type="checkbox" {common}{" checked" if value else ""}>'
    numeric = isinstance(knob["default"], (int, float)) or knob["unit"]
    mode = ' inputmode="decimal"' if numeric else ""
    return f'<input type="text" {common}{mode} spellcheck="false" value="{esc(shown(value))}">'


def shown(value: Any) -> str:
    """A setting's value as it stands in its field."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def limits(knob: dict[str, Any]) -> str:
    low, high = knob["minimum"], knob["maximum"]
    if low is None:
        return ""
    return f"From {_plain(low)} to {_plain(high)}." if high is not None else f"At least {_plain(low)}."


def _plain(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:g}"


def parse_value(name: str, value: Any) -> Any:
    """What was typed into a setting's field as the recipe wants it; a UserError says what is wrong."""
    known = knobs()
    if name not in known or name in ELSEWHERE:
        raise UserError(f"There is no setting “{name}”.")
    if isinstance(value, bool):
        return value
    text = str(value).strip()
    kind = str(Recipe.model_fields[name].annotation)
    if not text and "None" in kind:
        return None
    if name == "target_modules":
        return text if text == "all-linear" else [part for part in text.replace(",", " ").split() if part]
    if "int" in kind or "float" in kind:
        return _number(name, text, whole="int" in kind)
    return text


def _number(name: str, text: str, whole: bool) -> int | float:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        raise UserError(f"“{label(name)}” needs a number; “{text}” is none.") from None
    return int(number) if whole and number == int(number) else number


def label(name: str) -> str:
    """A setting's name as a person reads it."""
    return _LABELS.get(name, name.replace("_", " ").capitalize())
