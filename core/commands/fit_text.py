"""What `fit` prints, and its JSON line: every term, the verdict, what would make it fit, time and energy."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from core.fit import MemoryEstimate, Place
from core.fit.answer import Data, Fit
from core.fit.search import FitStep
from core.fit.speed import Range, RunTime, Speed
from core.machine import GIB
from core.presets import preset_knobs

# a terminal has 80 columns at least
_WIDTH = 79
_BAR = 36
_VERDICTS = {
    "fits": "it fits",
    "tight": "it is tight: other programs on the card may break it",
    "no": "it does not fit",
}


@dataclass(frozen=True)
class FitReport:
    """One answer of `fit`. `refusal` says why the card can't train; `time` needs data."""

    fit: Fit
    refusal: str
    notes: tuple[str, ...]
    suggestions: list[FitStep]
    room: list[FitStep]
    speed: Speed
    data: Data | None
    time: RunTime | None

    @property
    def verdict(self) -> str:
        """A card that can't train has no room either."""
        return "no" if self.refusal else self.fit.estimate.verdict


def lines(report: FitReport) -> Iterator[str]:
    yield from _heading(report.fit)
    yield ""
    yield from _terms(report.fit.estimate)
    yield ""
    yield from _paragraph(_verdict(report))
    yield from _facts(report)
    if report.suggestions:
        yield from _steps("Make it fit:", report.suggestions)
    yield from _still_too_much(report)
    if report.room:
        yield from _steps("Use the room, for speed:", report.room)


def _heading(fit: Fit) -> Iterator[str]:
    spec, work, place = fit.spec, fit.work, fit.place
    recipe = work.recipe
    guessed = "" if spec.exact else ", shapes guessed"
    kind = f"{spec.architecture}, " if spec.architecture else ""
    yield from _paragraph(f"{spec.name}: {kind}{spec.parameters / 1e9:.2f} B parameters{guessed}")
    base = "" if work.method.trains_everything else ", base"
    bits = 4 if work.packed else work.bits
    yield from _paragraph(
        f"{work.method.describe(recipe)}{base} in {bits} bits; {recipe.micro_batch} x "
        f"{recipe.max_length:,} tokens at once, accumulated over {recipe.accumulate}; "
        f"{recipe.optimizer}, checkpointing {recipe.checkpointing}, engine {recipe.engine}"
    )
    where, whole = (place.gpu.name, place.gpu.total) if place.gpu else ("CPU and its memory", place.ram)
    yield from _paragraph(f"{where}: {_gib(place.usable)} of {_gib(whole)} for a training")
    refusal = work.method.refuses(recipe, place.device)
    if refusal:
        yield from _paragraph(refusal)


def _terms(estimate: MemoryEstimate) -> Iterator[str]:
    shown = [(term.title, term.bytes) for term in estimate.terms if term.bytes > 0]
    if estimate.correction != 1:
        shown.append(("Correction", estimate.total - estimate.formula))
    whole = max(estimate.total, estimate.usable, 1)
    width = max(len(title) for title, _ in shown)
    for title, size in shown:
        bar = "#" * round(_BAR * max(size, 0) / whole)
        yield f"  {title:<{width}}  {_gib(size):>10}  {bar}".rstrip()
    bar = "#" * round(_BAR * estimate.total / whole)
    full = "." * (round(_BAR * estimate.usable / whole) - len(bar))
    yield f"  {'Total':<{width}}  {_gib(estimate.total):>10}  {bar}{full}"


def _verdict(report: FitReport) -> str:
    estimate, largest = report.fit.estimate, report.fit.estimate.largest
    if report.refusal:
        return f"This card can't train. {report.refusal}"
    share = f" ({estimate.total / estimate.usable:.0%})" if estimate.usable else ""
    most = "Most of it" if 2 * largest.bytes * estimate.correction >= estimate.total else "The largest part"
    why = largest.why[0].lower() + largest.why[1:].rstrip(".")
    return (
        f"{_gib(estimate.total)} of {_gib(estimate.usable)}{share}: {_VERDICTS[estimate.verdict]}. "
        f"{most} is “{largest.title}”: {why}."
    )


def _facts(report: FitReport) -> Iterator[str]:
    estimate = report.fit.estimate
    share = estimate.trainable / max(estimate.parameters, 1)
    yield f"Trained: {estimate.trainable:,} of {estimate.parameters:,} parameters ({share:.2%})."
    beside = f"{_gib(estimate.host_ram)} of the computer's memory and " if report.fit.place.gpu else ""
    yield from _paragraph(
        f"Beside it: {beside}{_gib(estimate.disk)} on the disk (base, checkpoints, merged, GGUF)."
    )
    if report.fit.correction.runs:
        yield from _paragraph(
            f"Corrected: {report.fit.correction.reason} Take it back with --forget-measured."
        )
    for note in report.notes:
        yield from _paragraph(f"Note: {note}")
    yield from _data(report)
    if not report.refusal:
        yield from _time(report)


def _data(report: FitReport) -> Iterator[str]:
    if report.data is None:
        return
    p95, p99, longest = report.data.lengths
    note = f" ({report.data.note})" if report.data.note else ""
    yield from _paragraph(
        f"Data: {report.data.split}; 95% of the rows have at most {p95:,} tokens, 99% at "
        f"most {p99:,}, the longest {longest:,}{note}."
    )


def _time(report: FitReport) -> Iterator[str]:
    trust = f"right within a factor of {report.speed.spread:g}"
    if report.time is None:
        yield from _paragraph(f"Speed: {report.speed.source} ({trust}). With --data also time and energy.")
        return
    time = report.time
    yield from _paragraph(
        f"Time: {time.steps:,} steps, {time.tokens:,} tokens, about {_duration(time.seconds.likely)} "
        f"({_duration(time.seconds.low)} to {_duration(time.seconds.high)}) and {_energy(time.kwh)}; "
        f"{report.speed.source}."
    )


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{_rough(seconds / length)} {unit}"
    number = _rough(max(seconds, 1))
    return f"{number} second{'s' if number != '1' else ''}"


def _energy(kwh: Range) -> str:
    small = kwh.likely < 0.1
    low, likely, high = (_rough(value * 1000 if small else value) for value in kwh)
    return f"{likely} {'Wh' if small else 'kWh'} ({low} to {high})"


def _rough(number: float) -> str:
    """With no more digits than an estimate has."""
    short = float(f"{number:.2g}")
    return f"{short:,.0f}" if short >= 10 else f"{short:g}"


def _steps(title: str, steps: Iterable[FitStep]) -> Iterator[str]:
    yield ""
    yield title
    for step in steps:
        changed = f"saves {_gib(step.saves)}" if step.saves >= 0 else f"takes {_gib(-step.saves)}"
        yield from _paragraph(f"- {step.words}: {_gib(step.total)} ({changed})", "    ")


def _still_too_much(report: FitReport) -> Iterator[str]:
    least = report.suggestions[-1].total if report.suggestions else report.fit.estimate.total
    if not report.refusal and least > report.fit.estimate.usable:
        yield from _paragraph(
            f"It does not fit here in any way: take a smaller model or {_more(report.fit.place)}."
        )


def _more(place: Place) -> str:
    return "a larger card" if place.gpu else "a computer with more memory"


def _paragraph(text: str, hanging: str = "  ") -> list[str]:
    """Lines for the terminal; names of folders can't send it commands."""
    first, plain = hanging[:-2], "".join(sign if sign.isprintable() else "?" for sign in text)
    return textwrap.wrap(plain, _WIDTH, initial_indent=first, subsequent_indent=hanging)


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"


def to_json(report: FitReport) -> dict[str, Any]:
    """The whole result, plain values only; memory in GiB."""
    fit, estimate, place = report.fit, report.fit.estimate, report.fit.place
    return {
        "model": fit.spec.name,
        "architecture": fit.spec.architecture,
        "exact": fit.spec.exact,
        "place": place.name,
        "total_gib": _in_gib(estimate.total),
        "usable_gib": _in_gib(estimate.usable),
        "verdict": report.verdict,
        "refusal": report.refusal or None,
        "untrained": fit.work.method.refuses(fit.work.recipe, place.device) or None,
        "terms": _terms_json(estimate),
        "host_ram_gib": _in_gib(estimate.host_ram),
        "disk_gib": _in_gib(estimate.disk),
        "parameters": {"total": estimate.parameters, "trainable": estimate.trainable},
        "settings": {**fit.work.recipe.model_dump(include=set(preset_knobs())), "bits": fit.work.bits},
        "correction": {**asdict(fit.correction), "factor": round(fit.correction.factor, 3)},
        "notes": list(report.notes),
        "suggestions": [_step_json(step) for step in report.suggestions],
        "room": [_step_json(step) for step in report.room],
        "data": report.data.to_json() if report.data else None,
        "speed": {**asdict(report.speed), "tokens_per_s": round(report.speed.tokens_per_s, 2)},
        "time": _time_json(report.time) if report.time else None,
    }


def _terms_json(estimate: MemoryEstimate) -> dict[str, float]:
    """Every term by its key, so that they add up to the total: the correction is one of them."""
    terms = {term.key: _in_gib(term.bytes) for term in estimate.terms}
    if estimate.correction != 1:
        terms["correction"] = _in_gib(estimate.total - estimate.formula)
    return terms


def _step_json(step: FitStep) -> dict[str, Any]:
    return {
        "change": step.words,
        "settings": step.change,
        "total_gib": _in_gib(step.total),
        "saves_gib": _in_gib(step.saves),
    }


def _time_json(time: RunTime) -> dict[str, Any]:
    return {
        "steps": time.steps,
        "tokens": time.tokens,
        "minutes": _range_json(Range(*(seconds / 60 for seconds in time.seconds))),
        "kwh": _range_json(time.kwh),
        "source": time.source,
    }


def _range_json(values: Range) -> dict[str, float]:
    """In three digits: it is known no better."""
    return {name: float(f"{value:.3g}") for name, value in values._asdict().items()}


def _in_gib(size: int) -> float:
    return round(size / GIB, 3)
