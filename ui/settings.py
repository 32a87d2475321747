"""All settings of the recipe as fields: label, unit, range, help, and what typed text means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.base.errors import UserError
from core.recipe import Recipe, knobs

# chosen in other steps
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


@dataclass(frozen=True)
class Setting:
    """One setting as it stands on the page. `usual` is the preset's value as text, `kind` the field's."""

    name: str
    label: str
    kind: str
    text: str
    usual: str
    changed: bool
    unit: str
    help: str
    numeric: bool
    choices: tuple[str, ...]


def settings(usual: Recipe, changes: dict[str, Any]) -> dict[str, list[Setting]]:
    """Every setting by its group, each with what the preset says beside what was changed."""
    groups: dict[str, list[Setting]] = {}
    for name, knob in knobs().items():
        if name not in ELSEWHERE:
            before = getattr(usual, name)
            groups.setdefault(knob["group"], []).append(
                _setting(name, knob, changes.get(name, before), before)
            )
    return groups


def _setting(name: str, knob: dict[str, Any], value: Any, usual: Any) -> Setting:
    words = f"Preset: {shown(usual)}." if shown(usual) else "Preset: empty."
    kind = "choice" if knob["choices"] else "switch" if isinstance(value, bool) else "text"
    return Setting(
        name=name,
        label=label(name),
        kind=kind,
        text=shown(value),
        usual=shown(usual),
        changed=value != usual,
        unit=knob["unit"],
        help=" ".join(filter(None, (knob["help"], limits(knob), words))),
        numeric=isinstance(knob["default"], (int, float)) or bool(knob["unit"]),
        choices=tuple(knob["choices"] or ()),
    )


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
    if name not in knobs() or name in ELSEWHERE:
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


def refused_words(name: str, typed: Any, problem: UserError) -> str:
    """In the words of the page why the recipe refuses a setting."""
    allowed = limits(knobs()[name]) or str(problem)
    return f"“{label(name)}” can't be {typed or 'empty'}. {allowed} It stays as it was."


def label(name: str) -> str:
    """A setting's name as a person reads it."""
    return _LABELS.get(name, name.replace("_", " ").capitalize())
