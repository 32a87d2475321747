"""Step 3, Preset: the recipe for this hardware, whether it fits, and every setting for those who want it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gradio as gr

from core.base.errors import UserError
from core.presets import Preset, choose_preset, preset_named
from core.recipe import knobs
from ui import fit_learned, fit_time, fit_views, preset_cards, preset_hints, preset_machine, preset_own
from ui.bench import Bench
from ui.choices import Choices
from ui.fit import fit_of
from ui.fit_steps import take_steps, undo_steps
from ui.html import esc, heading, notice, primary
from ui.parts import Step, View, panel
from ui.preset_settings import label, limits, parse_value, settings_html
from ui.preset_words import recipe_lines

QUESTION = "How should it train?"
HELP = "A preset fits a class of hardware. The one for this machine is chosen already."
# 'edit' and 'act' in quotes, see ui/parts.py
_BIND_FIT = (
    "window.garage.bind(element, trigger, watch, ['edit', 'act']);"
    "window.garage.fit(element, trigger, watch, server)"
)


def build(bench: Bench) -> Step:
    """Lay the step out."""
    gr.HTML(heading("preset", QUESTION, HELP), elem_id="preset-heading", apply_default_css=False)
    machine = panel("preset-machine", first=True)
    cards = panel("preset-panel")
    own = panel("preset-own")
    with gr.Column(elem_id="fit"):
        meter = panel("fit-meter")
        sliders = _sliders(bench)
        more = panel("fit-more")
        parts = panel("fit-parts")
    words = panel("preset-words")
    settings = panel("settings-panel")
    onward = panel("preset-next")
    panels = [machine, cards, own, meter, sliders, more, parts, words, settings, onward]
    views = [
        View(machine, preset_machine.machine_html),
        View(cards, preset_cards.cards_html),
        View(own, preset_own.own_html),
        View(meter, fit_views.meter_view),
        View(sliders, fit_views.knobs_view),
        View(more, fit_views.more_view),
        View(parts, fit_views.parts_view),
        View(words, words_html),
        View(settings, settings_html),
        View(onward, next_html),
    ]
    return Step("preset", views, on_edit, on_act, panels)


def _sliders(bench: Bench) -> gr.HTML:
    """A panel that asks, while its sliders move, what they would mean."""

    # a server function may be called by any page and so must only read
    def preview(request: dict[str, Any]) -> dict[str, str]:
        return fit_views.preview(bench, request)

    return gr.HTML(
        "", elem_id="fit-knobs", js_on_load=_BIND_FIT, server_functions=[preview], apply_default_css=False
    )


def on_edit(bench: Bench, name: str, value: Any) -> None:
    """A preset or a setting changed. A value that the recipe refuses is a UserError and changes nothing."""
    if name == "preset":
        chosen, suited = preset_named(str(value), bench.home), choose_preset(bench.hardware)[0]
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
        allowed = limits(knobs()[name]) or str(problem)
        raise UserError(
            f"“{label(name)}” can't be {typed or 'empty'}. {allowed} It stays as it was."
        ) from None


def on_act(bench: Bench, name: str, value: Any) -> None:
    """A button was pressed."""
    if name in _ACTS:
        _ACTS[name](bench, value)


def _reset(bench: Bench, value: Any) -> None:
    bench.change(lambda choices: replace(choices, changes=_without(choices.changes, str(value))))


_ACTS: dict[str, Callable[[Bench, Any], None]] = {
    "reset-all": lambda bench, _: bench.choose(changes={}) and None,
    "reset": _reset,
    "look-again": lambda bench, _: bench.look_again(),
    "make-it-fit": lambda bench, _: take_steps(bench, "fit"),
    "use-the-room": lambda bench, _: take_steps(bench, "room"),
    "undo-fit": lambda bench, _: undo_steps(bench),
    "measure-machine": lambda bench, _: fit_time.measure_machine(bench),
    "forget-measured": lambda bench, _: fit_learned.forget(bench),
    "save-preset": preset_own.save,
    "load-preset": preset_own.load,
    "delete-preset": preset_own.delete,
    "take-usual": preset_hints.take,
}


def _differing(changes: dict[str, Any], preset: Preset) -> dict[str, Any]:
    """The changes that are still changes with another preset."""
    usual = preset.recipe()
    return {name: value for name, value in changes.items() if value != getattr(usual, name)}


def _without(changes: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in changes.items() if key != name}


def words_html(bench: Bench) -> str:
    """The recipe in plain words."""
    try:
        words = "".join(f"<li>{esc(line)}</li>" for line in recipe_lines(bench.recipe_so_far()))
    except UserError as problem:
        return notice("bad", "This recipe can't be used", str(problem))
    head = "<h3>The recipe in plain words</h3>"
    hints = preset_hints.hints_html(bench)
    return f'<section class="lg-recipe">{head}<ul class="lg-list">{words}</ul>{hints}</section>'


def next_html(bench: Bench) -> str:
    """The way on; closed while the recipe can't be used, and not the obvious one while it does not fit."""
    try:
        bench.recipe()
    except UserError as problem:
        return primary("preset", "Use this recipe", "train", str(problem))
    if _fits(bench):
        return primary("preset", "Use this recipe", "train")
    return (
        '<div class="lg-next"><a id="lg-next-preset" class="lg-second" href="#train">Use it anyway</a>'
        '<p class="lg-reason">By the estimate the memory will not be enough.</p></div>'
    )


def _fits(bench: Bench) -> bool:
    try:
        return fit_of(bench).estimate.verdict != "no"
    except UserError:
        return True
