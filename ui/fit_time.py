"""How long the chosen run would take and what it would draw from the socket, with how far that may be off."""

from __future__ import annotations

from core.errors import UserError
from core.estimate import RunTime, estimate_run
from ui.bench import Bench
from ui.data_look import look
from ui.data_numbers import rounded, short
from ui.data_views import rows_to_train
from ui.fit import Fit
from ui.html import count, esc, facts


def time_of(bench: Bench, fit: Fit) -> RunTime | None:
    """Steps, tokens, time and energy; None before the data is measured."""
    try:
        seen = look(bench)
    except UserError:
        return None
    if seen.report is None or seen.state is None or seen.state.tokens is None:
        return None
    rows = rows_to_train(seen.report, fit.recipe)
    found = bench.desk.token_facts(seen.state.tokens, fit.recipe.max_length)
    if rows <= 0 or not found.rows_kept:
        return None
    question = (fit.spec, fit.recipe.model_dump_json(), fit.place, rows, found.total)

    def estimated() -> RunTime:
        average = found.total / found.rows_kept
        return estimate_run(bench.home, fit.recipe, fit.spec, bench.hardware, fit.place, rows, average)

    return bench.desk.run_time(question, estimated)


def time_html(bench: Bench, fit: Fit) -> str:
    """The numbers, and where the time comes from."""
    run = time_of(bench, fit)
    if run is None:
        return ""
    numbers = [
        ("Steps", f"{run.steps:,}"),
        ("Tokens", short(run.tokens)),
        ("Time", f"about {rounded(run.seconds.likely)}"),
        ("Energy", f"about {energy_words(run.kwh.likely)}"),
    ]
    return f'<div class="lg-time">{facts(numbers)}<p class="lg-help">{esc(doubt_words(run))}</p></div>'


def time_words(run: RunTime) -> str:
    """Steps, time and energy in a sentence."""
    took = f"About {rounded(run.seconds.likely)} for {count(run.steps, 'step')}"
    return f"{took}, and {energy_words(run.kwh.likely)} from the socket."


def doubt_words(run: RunTime) -> str:
    """How far the numbers may be off, and what they are based on."""
    low, high = rounded(run.seconds.low), rounded(run.seconds.high)
    kind = "An estimate" if run.measured else "A guess from the class of the hardware"
    energy = f"{energy_words(run.kwh.low)} to {energy_words(run.kwh.high)} from the socket"
    return f"{kind}, {run.source}: {low} to {high}, {energy}. The first steps of the training tell it better."


def energy_words(kwh: float) -> str:
    """Energy with no more digits than it is worth: 4 Wh, 0.3 kWh, 12 kWh."""
    if kwh < 0.1:
        return f"{float(f'{kwh * 1000:.1g}'):g} Wh"
    return f"{float(f'{kwh:.2g}' if kwh >= 1 else f'{kwh:.1g}'):g} kWh"
