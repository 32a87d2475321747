"""How long the chosen run would take and what it would draw from the socket, with how far that may be off."""

from __future__ import annotations

from core.base.errors import UserError
from core.base.jobs import read_job
from core.fit.calibration import calibration_job, read_calibration, start_calibration
from core.fit.estimate import RunTime, estimate_run
from core.runs.run import active_run
from ui.bench import Bench
from ui.data_look import look, rows_to_train
from ui.data_numbers import between, rounded, short
from ui.fit import Fit
from ui.html import button, checks, count, esc, facts, meter


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
    measured = read_calibration(bench.home, fit.place)
    question = (fit.spec, fit.recipe.model_dump_json(), fit.place, rows, found.total, measured)

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
    words = f'<p class="lg-help">{esc(doubt_words(run))}</p>'
    return f'<div class="lg-time">{facts(numbers)}{words}{"" if run.measured else _measure_html(bench)}</div>'


def _measure_html(bench: Bench) -> str:
    """A short measurement of this machine in place of the guess; how it goes."""
    job = read_job(calibration_job(bench.home))
    if job.active:
        return f'<p class="lg-help" role="status">Measuring this machine …</p>{meter(None, "Measuring")}'
    failed = job.status in ("failed", "died")
    problem = checks([("warn", f"The measurement has failed. {job.message}")]) if failed else ""
    return problem + button(
        "fit-measure", "measure-machine", "Measure this machine (some ten seconds)", "quiet"
    )


def measure_machine(bench: Bench) -> None:
    """Start the short measurement. A training would disturb it, and it the training."""
    busy = active_run(bench.home)
    if busy is not None:
        raise UserError(f"“{busy.name}” is training: measure the machine when it has ended.")
    start_calibration(bench.home)


def time_words(run: RunTime) -> str:
    """Steps, time and energy in a sentence."""
    took = f"About {rounded(run.seconds.likely)} for {count(run.steps, 'step')}"
    return f"{took}, and {energy_words(run.kwh.likely)} from the socket."


def doubt_words(run: RunTime) -> str:
    """How far the numbers may be off, and what they are based on."""
    took = between(rounded(run.seconds.low), rounded(run.seconds.high))
    kind = "An estimate" if run.measured else "A guess from the class of the hardware"
    energy = f"{between(energy_words(run.kwh.low), energy_words(run.kwh.high))} from the socket"
    return f"{kind} ({run.source}): {took}, {energy}. The first steps of the training say more."


def energy_words(kwh: float) -> str:
    """Energy with no more digits than it is worth: 4 Wh, 0.3 kWh, 12 kWh."""
    if kwh < 0.1:
        return f"{float(f'{kwh * 1000:.1g}'):g} Wh"
    return f"{float(f'{kwh:.2g}' if kwh >= 1 else f'{kwh:.1g}'):g} kWh"
