"""What runs on this machine have measured: the newest beside its estimate, the correction, and its reset."""

from __future__ import annotations

from core.fit.measured import Measured, place_name, read_measured, reset_measured
from ui.bench import Bench
from ui.fit import Fit
from ui.fit_words import memory
from ui.html import button, checks


def learned_html(bench: Bench, fit: Fit) -> str:
    """Empty before the first measured run."""
    newest = newest_here(bench, fit)
    if newest is None:
        return ""
    forget = button("fit-forget", "forget-measured", "Forget the measurements", "quiet")
    words = checks([("info", measured_words(newest)), ("info", correction_words(fit))])
    return f'<div class="lg-learned"><h4>Measured on this machine</h4>{words}{forget}</div>'


def newest_here(bench: Bench, fit: Fit) -> Measured | None:
    """The newest run that was measured on such a card, or on this CPU."""
    name = place_name(fit.place)
    return next((run for run in reversed(read_measured(bench.home)) if run.card == name), None)


def measured_words(run: Measured) -> str:
    """A run's peak beside its estimate: what was measured, what the formula had said."""
    difference = run.ratio - 1
    off = (
        f"{abs(difference):.0%} {'more' if difference > 0 else 'less'}"
        if abs(difference) >= 0.005
        else "the same"
    )
    return f"{run.run}: {memory(run.measured)} measured, {memory(run.estimated)} by the formula ({off})."


def correction_words(fit: Fit) -> str:
    """What the measurements change in every estimate here."""
    if abs(fit.correction.factor - 1) < 0.005:
        return f"The estimate is not corrected: {fit.correction.reason}"
    return f"The estimate above is multiplied by {fit.correction.factor:.2f}. {fit.correction.reason}"


def forget(bench: Bench) -> None:
    """From now on the formula counts alone on this kind of place."""
    reset_measured(bench.home, bench.place())
    bench.desk.forget()
