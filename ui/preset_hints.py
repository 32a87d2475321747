"""Step 3, what no preset can know: how often to see this many rows, how fast a model of this size learns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.base.errors import UserError
from core.presets import usual_epochs, usual_learning_rate
from ui.bench import Bench
from ui.choices import Choices
from ui.data_look import look
from ui.fit import spec_of
from ui.html import button, count, esc


def hints_html(bench: Bench) -> str:
    """A sentence and a button for each setting that data or model want otherwise; empty where none does."""
    parts = []
    for name, (value, why) in hints(bench).items():
        take = button(f"take-{name}", "take-usual", f"Take {_named(name, value)}", "quiet", name)
        parts.append(f'<p class="lg-help">{esc(why)} {take}</p>')
    return "".join(parts)


def _named(name: str, value: float) -> str:
    return count(round(value), "epoch") if name == "epochs" else f"a learning rate of {value:g}"


def hints(bench: Bench) -> dict[str, tuple[float, str]]:
    """Setting → what is usual here and why, where the preset says otherwise and nobody has chosen."""
    preset, changes = bench.preset()[0], bench.choices().changes
    if preset.own:
        return {}
    recipe = bench.recipe_so_far()
    found = {"epochs": _epochs(bench), "learning_rate": _learning_rate(bench)}
    return {
        name: hint
        for name, hint in found.items()
        if hint is not None and name not in changes and hint[0] != getattr(recipe, name)
    }


def take(bench: Bench, name: Any) -> None:
    """Set one of them to what is usual here."""
    found = hints(bench).get(str(name))
    if found is None:
        raise UserError("That is set already.")

    def change(choices: Choices) -> Choices:
        return replace(choices, changes={**choices.changes, str(name): found[0]})

    bench.change(change)


def _epochs(bench: Bench) -> tuple[float, str] | None:
    try:
        report = look(bench).report
    except UserError:
        return None
    return usual_epochs(report.rows_usable) if report is not None and report.rows_usable else None


def _learning_rate(bench: Bench) -> tuple[float, str] | None:
    try:
        return usual_learning_rate(spec_of(bench).parameters)
    except UserError:
        return None
