"""Step 3, Preset: the recipe for this hardware in plain words, and every setting for those who want it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr

from core.errors import UserError
from core.presets import Preset, choose_preset, load_presets, preset_named
from core.recipe import Recipe, knobs
from ui.bench import Bench
from ui.choices import Choices
from ui.html import button, checks, choice_cards, esc, fold, heading, notice, primary
from ui.parts import Step, View, panel

QUESTION = "How should it train?"
HELP = "A preset fits a class of hardware. The one for this machine is chosen already."
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
_ELSEWHERE = ("model", "data", "columns", "fixes", "chat_template", "preset")


def build(bench: Bench) -> Step:
    """Lay the step out."""
    gr.HTML(heading("preset", QUESTION, HELP), elem_id="preset-heading", apply_default_css=False)
    body = panel("preset-panel", first=True)
    settings = panel("settings-panel")
    onward = panel("preset-next")
    views = [View(body, body_html), View(settings, settings_html), View(onward, next_html)]
    return Step("preset", views, on_edit, on_act, [body, settings, onward])


def on_edit(bench: Bench, name: str, value: Any) -> None:
    """A preset or a setting changed. A value that the recipe refuses is a UserError and changes nothing."""
    if name == "preset":
        chosen, suited = preset_named(str(value)), choose_preset(bench.hardware)[0]
        bench.choose(preset="" if chosen.key == suited.key else chosen.key)
        bench.change(lambda choices: replace(choices, changes=_differing(choices.changes, chosen)))
        return
    wanted = parse_value(name, value)
    preset = bench.preset()[0]

    def change(choices: Choices) -> Choices:
        changes = {**choices.changes, name: wanted}
        _check(preset, name, value, changes)
        if wanted == getattr(preset.recipe(), name):
            del changes[name]
        return replace(choices, changes=changes)

    bench.change(change)


def _check(preset: Preset, name: str, typed: Any, changes: dict[str, Any]) -> None:
    """A UserError in the words of the page when the recipe refuses a setting."""
    try:
        preset.recipe(**changes)
    except UserError as problem:
        limits = _limits(knobs()[name]) or str(problem)
        raise UserError(
            f"“{label(name)}” can't be {typed or 'empty'}. {limits} It stays as it was."
        ) from None


def on_act(bench: Bench, name: str, value: Any) -> None:
    """A button was pressed: one setting, or all of them, back to the preset's."""
    if name == "reset-all":
        bench.choose(changes={})
    elif name == "reset":
        bench.change(lambda choices: replace(choices, changes=_without(choices.changes, str(value))))


def _differing(changes: dict[str, Any], preset: Preset) -> dict[str, Any]:
    """The changes that are still changes with another preset."""
    usual = preset.recipe()
    return {name: value for name, value in changes.items() if value != getattr(usual, name)}


def _without(changes: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in changes.items() if key != name}


def parse_value(name: str, value: Any) -> Any:
    """What was typed into a setting's field as the recipe wants it; a UserError says what is wrong."""
    known = knobs()
    if name not in known or name in _ELSEWHERE:
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


def body_html(bench: Bench) -> str:
    """The found hardware, the presets, and the recipe in plain words."""
    preset, reason = bench.preset()
    cards = _preset_cards(preset)
    found = checks([("ok", reason)])
    try:
        words = "".join(f"<li>{esc(line)}</li>" for line in recipe_lines(bench.recipe()))
        lines = f'<h3>The recipe in plain words</h3><ul class="lg-list">{words}</ul>'
        recipe = f'<section class="lg-recipe">{lines}</section>'
    except UserError as problem:
        recipe = notice("bad", "This recipe can't be used", str(problem))
    return found + cards + recipe + _warnings(bench)


def _preset_cards(chosen: Preset) -> str:
    """The chosen preset in sight, the others folded away."""
    options = {item.key: (item.key, item.title, item.about) for item in load_presets()}
    first = choice_cards("preset", "Chosen preset", [options.pop(chosen.key)], chosen.key)
    others = choice_cards("preset", "Other presets", list(options.values()), chosen.key)
    return first + fold("other-presets", "Other presets", others)


def _warnings(bench: Bench) -> str:
    preset = bench.preset()[0]
    gpu = bench.hardware.best_gpu
    if preset.gpu_gib and gpu is None:
        sentence = "No GPU was found, and this preset is made for one. It will be slow, or fail."
        return checks([("warn", sentence)])
    if gpu is not None and preset.gpu_gib > gpu.total_gib * 1.05:
        sentence = (
            f"{gpu.name} has {gpu.total_gib:.0f} GB, less than this preset is made for. Memory may run out."
        )
        return checks([("warn", sentence)])
    return ""


def recipe_lines(recipe: Recipe) -> list[str]:
    """The recipe in sentences, with units."""
    base = (
        "the base model is kept in 4 bits to save memory (QLoRA)"
        if recipe.quantization == "nf4"
        else "the base model stays as it is (LoRA)"
    )
    where = "all linear layers" if recipe.target_modules == "all-linear" else "the layers you named"
    steps = f", at most {recipe.max_steps:,} steps" if recipe.max_steps else ""
    times = "once" if recipe.epochs == 1 else f"{recipe.epochs:g} times"
    return [
        f"A small adapter of rank {recipe.rank} is trained on {where}; {base}.",
        f"Every row is seen {times} (epochs){steps}; {recipe.effective_batch} rows make one step.",
        f"Rows longer than {recipe.max_length:,} tokens are cut off; only the answers are learned.",
        f"Learning rate {recipe.learning_rate:g}, rising over the first {recipe.warmup:.0%} of the steps, "
        f"then {_SCHEDULES[recipe.scheduler]}.",
        f"Held-out loss every {recipe.eval_every} steps, a checkpoint every {recipe.save_every}.",
    ]


_SCHEDULES = {
    "linear": "falling in a straight line",
    "cosine": "falling in a curve",
    "constant": "staying there",
}


def settings_html(bench: Bench) -> str:
    """All settings in groups; each with unit, range, default, help, and a mark where the preset differs."""
    usual = bench.preset()[0].recipe()
    changes = bench.choices().changes
    groups: dict[str, list[str]] = {}
    for name, knob in knobs().items():
        if name not in _ELSEWHERE:
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
    limits = _limits(knob)
    usual_words = f"Preset: {shown(usual)}." if shown(usual) else "Preset: empty."
    help_text = " ".join(filter(None, (knob["help"], limits, usual_words)))
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


def _limits(knob: dict[str, Any]) -> str:
    low, high = knob["minimum"], knob["maximum"]
    if low is None:
        return ""
    return f"From {_plain(low)} to {_plain(high)}." if high is not None else f"At least {_plain(low)}."


def _plain(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:g}"


def next_html(bench: Bench) -> str:
    """The way on; closed while the recipe can't be used."""
    try:
        bench.recipe()
    except UserError as problem:
        return primary("preset", "Use this recipe", "train", str(problem))
    return primary("preset", "Use this recipe", "train")
