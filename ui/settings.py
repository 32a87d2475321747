"""All settings of the recipe as fields: label, unit, range, help, and what typed text means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.base.errors import UserError
from core.recipe import Recipe, knobs, limits, own_knobs

# chosen in other steps; which rows are held out, with the data
HELD_OUT = ("heldout", "heldout_share", "splits")
ELSEWHERE = ("model", "data", "columns", "fixes", "chat_template", "preset", *HELD_OUT)
_LABELS = {
    "name": "Name of the run",
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
    own = own_knobs(changes.get("method", usual.method))
    for name, knob in {**knobs(), **own}.items():
        if name not in ELSEWHERE:
            before = getattr(usual, name, knob["default"])
            now = {**changes.get("method_settings", {}), **changes}.get(name, before)
            groups.setdefault(knob["group"], []).append(_setting(name, knob, now, before))
    return groups


def changed(usual: Recipe, values: dict[str, Any]) -> dict[str, Any]:
    """Those of the settings that the preset says otherwise."""
    return {name: value for name, value in values.items() if value != getattr(usual, name)}


def with_setting(recipe: Recipe, changes: dict[str, Any], name: str, typed: Any) -> dict[str, Any]:
    """The changes of a preset's recipe after something was typed into a field; a UserError refuses it."""
    own, kept = own_knobs(changes.get("method", recipe.method)), changes.get("method_settings", {})
    wanted = {"method_settings": {**kept, name: typed}} if name in own else {name: parse_value(name, typed)}
    if name == "method":
        wanted["method_settings"] = {}
    try:
        asked = recipe.with_changes(**{**changes, **wanted})
    except UserError as problem:
        raise UserError(refused_words(name, typed, problem, own.get(name))) from None
    if name in own:
        values = asked.method_settings.items()
        wanted["method_settings"] = {one: value for one, value in values if value != own[one]["default"]}
    return changed(recipe, {**changes, **wanted})


def without_setting(changes: dict[str, Any], name: str) -> dict[str, Any]:
    """The changes without this one."""
    if name == "method":
        changes = without_setting(changes, "method_settings")
    own = {one: value for one, value in changes.get("method_settings", {}).items() if one != name}
    rest = {one: value for one, value in changes.items() if one not in (name, "method_settings")}
    return {**rest, "method_settings": own} if own and name != "method_settings" else rest


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


def refused_words(name: str, typed: Any, problem: UserError, own: dict[str, Any] | None = None) -> str:
    """In the words of the page why the recipe refuses a setting."""
    allowed = limits(own or knobs()[name]) or str(problem)
    return f"“{label(name)}” can't be {typed or 'empty'}. {allowed} It stays as it was."


def label(name: str) -> str:
    """A setting's name as a person reads it."""
    return _LABELS.get(name, name.replace("_", " ").capitalize())
