"""The views of the fit meter in the Preset step and in the card, and what its sliders ask while they move."""

from __future__ import annotations

from typing import Any

from core.base.errors import UserError
from ui.bench import Bench
from ui.data_numbers import rounded
from ui.fit import Fit, fit_of, lengths_of, spec_of
from ui.fit_bar import table_html
from ui.fit_knobs import knobs_html, length_words
from ui.fit_learned import learned_html
from ui.fit_meter import meter_html, small_html
from ui.fit_steps import steps_html
from ui.fit_time import time_html, time_of
from ui.fit_words import memory
from ui.html import Mark, checks, esc, notice, size

KNOBS = ("max_length", "rank")


def meter_view(bench: Bench) -> str:
    """The meter, or why there is none."""
    try:
        fit = fit_of(bench)
    except UserError as problem:
        return notice("info", "Will it fit? Nobody knows yet", str(problem))
    return f'<section id="fit-shown" aria-live="polite">{meter_html(fit)}</section>'


def knobs_view(bench: Bench) -> str:
    """The sliders."""
    try:
        spec = spec_of(bench)
    except UserError:
        spec = None
    return knobs_html(bench.recipe_so_far(), spec, lengths_of(bench))


def more_view(bench: Bench) -> str:
    """What would make it fit, or use the room."""
    try:
        return steps_html(bench, fit_of(bench))
    except UserError:
        return ""


def parts_view(bench: Bench) -> str:
    """Time and energy, every part of the memory, what else the run needs, what measured runs have taught."""
    try:
        fit = fit_of(bench)
    except UserError:
        return ""
    table = f'<section id="fit-parts-shown" class="lg-parts">{parts_html(fit)}</section>'
    return time_html(bench, fit) + table + learned_html(bench, fit)


def parts_html(fit: Fit) -> str:
    """The table of parts with what else the run needs."""
    return table_html(fit.estimate) + else_html(fit) + _notes_html(fit)


def else_html(fit: Fit) -> str:
    """RAM and disk that the run needs besides, with a warning where there is less."""
    disk, free = size(fit.disk), fit.place.disk_free
    ram = f"{memory(fit.estimate.host_ram)} of this computer’s memory (RAM)"
    short: list[tuple[Mark, str]] = []
    if fit.place.gpu is not None and fit.estimate.host_ram > fit.place.ram:
        short.append(("warn", f"{ram} are needed besides, and it has {memory(fit.place.ram)}."))
    if free is not None and fit.disk > free:
        short.append(("warn", f"{disk} of disk are needed, up to the export, and {size(free)} are free."))
    both = f"{disk} of disk" if fit.place.gpu is None else f"{ram} and {disk} of disk"
    return f'<p class="lg-help">{esc(f"Besides: {both}, up to the export.")}</p>' + checks(short)


def _notes_html(fit: Fit) -> str:
    return "".join(f'<p class="lg-help">{esc(note)}</p>' for note in fit.estimate.notes)


def card_fit(bench: Bench) -> str:
    """The meter in the card of choices; empty while nothing is known."""
    try:
        return small_html(fit_of(bench).estimate)
    except UserError:
        return ""


def card_time(bench: Bench) -> str:
    """The time in the card of choices; empty while nothing is known."""
    try:
        run = time_of(bench, fit_of(bench))
    except UserError:
        return ""
    return f"about {rounded(run.seconds.likely)}" if run is not None else ""


def preview(bench: Bench, request: dict[str, Any]) -> dict[str, str]:
    """What the parts of the page show for sliders that still move: element id → HTML. Changes nothing."""
    try:
        fit = fit_of(bench, **{name: int(request[name]) for name in KNOBS if name in request})
    except (UserError, TypeError, ValueError, AttributeError):
        return {}
    return {
        "fit-shown": meter_html(fit),
        "fit-parts-shown": parts_html(fit),
        "card-fit": small_html(fit.estimate),
        "fit-max_length-help": esc(length_words(fit.recipe.max_length, fit.lengths)),
    }
