"""The data in numbers: row lengths, turns, what is trained, and how long the recipe will take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.data.measure import TokenFacts, TokenTable
from core.data.report import Report
from core.data.store import Store
from core.fit.estimate import RunTime, count_steps
from core.recipe import Recipe
from ui.data_plots import histogram, lengths_html, turns_html
from ui.html import actions, button, checks, count, duration, esc, facts, meter


@dataclass(frozen=True)
class Numbers:
    """What was measured of the rows that stay, and what the recipe makes of it.

    rows: rows to train on, without the held-out ones. wait: how far a count of all rows is, in words, and
    as a share of 1. failure: why such a count ended early.
    """

    report: Report
    store: Store
    recipe: Recipe
    time: RunTime | None
    tokens: TokenTable
    rows: int
    wait: str = ""
    share: float | None = None
    failure: str = ""

    @property
    def facts(self) -> TokenFacts:
        return self.tokens.at(self.recipe.max_length)

    @property
    def partial(self) -> bool:
        return self.tokens.rows_measured < len(self.store)


def numbers_html(numbers: Numbers) -> str:
    """Lengths with the maximum drawn in, the suggested maximum, totals, turns, steps and time."""
    found, limit = numbers.facts, numbers.recipe.max_length
    lengths = numbers.tokens.length.astype(np.int64)
    plot = lengths_html(histogram(lengths[lengths > 0], limit), limit, _summary(found, limit))
    return (
        f'<section class="lg-numbers" id="data-numbers"><h3>In numbers</h3>{_sample_html(numbers)}{plot}'
        f"{_suggestion_html(numbers, found)}{facts(_totals(numbers, found))}{_time_html(numbers, found)}"
        f"<h4>Turns</h4>{turns_html(numbers.store.turns)}</section>"
    )


def waiting_html(words: str) -> str:
    """The same place before anything was counted."""
    return (
        '<section class="lg-numbers lg-empty" id="data-numbers"><h3>In numbers</h3>'
        f'<p class="lg-help">{esc(words)}</p></section>'
    )


def _summary(found: TokenFacts, limit: int) -> str:
    """The histogram in one sentence."""
    over = f"{count(len(found.cut), 'row')} longer than" if len(found.cut) else "no row longer than"
    return (
        f"Half of the rows have at most {found.p50:,} tokens, 95% at most {found.p95:,}, the longest "
        f"{found.max:,}; {over} the maximum of {limit:,}."
    )


def _sample_html(numbers: Numbers) -> str:
    """Whether all rows were measured; if not, the way to do it."""
    if numbers.wait:
        stop = button("data-stop-measuring", "stop-measuring", "Stop", "quiet")
        bar = meter(numbers.share, "Counting tokens")
        return f'<div class="lg-help lg-sample"><p role="status">{esc(numbers.wait)}</p>{bar}{stop}</div>'
    measured, total = numbers.tokens.rows_measured, len(numbers.store)
    if not numbers.partial:
        return f'<p class="lg-help lg-sample">Measured on {_all(measured)}.</p>'
    measure = button("data-measure", "measure", "Measure all rows", "quiet")
    words = f"From a sample of {measured:,} of {total:,} rows. {numbers.failure}"
    return f'<div class="lg-help lg-sample"><p>{esc(words)}</p>{measure}</div>'


def _all(rows: int) -> str:
    return "the only row" if rows == 1 else f"all {rows:,} rows"


def _suggestion_html(numbers: Numbers, found: TokenFacts) -> str:
    """The suggested maximum length with its reason; a button where the recipe's is another."""
    limit, report = numbers.recipe.max_length, numbers.report
    cut = f"The maximum length of {limit:,} tokens cuts {count(len(found.cut), 'row')}"
    cut += f" of the {found.rows_measured:,} measured." if numbers.partial else "."
    sentence = cut if len(found.cut) else f"The maximum length of {limit:,} tokens cuts no row."
    suggested = report.suggested_max_length
    if suggested is None or suggested == limit or not found.max:
        return checks([("warn" if len(found.cut) else "ok", sentence)])
    take = button("data-take-length", "length", f"Set it to {suggested:,}", "quiet")
    cost = "" if suggested > limit else " A shorter maximum needs less memory."
    return checks(
        [("warn" if len(found.cut) else "ok", sentence), ("info", report.suggested_reason + cost)]
    ) + actions(take)


def _totals(numbers: Numbers, found: TokenFacts) -> list[tuple[str, str]]:
    total = (numbers.report.tokens or {}).get("total", found.total)
    share = found.trained / found.total if found.total else 0.0
    about = "about " if numbers.partial else ""
    return [
        ("Half are up to", f"{found.p50:,} tokens"),
        ("95% up to", f"{found.p95:,} tokens"),
        ("Longest", f"{found.max:,} tokens"),
        ("In total", f"{about}{short(total)} tokens"),
        ("Trained", f"{share:.0%} of them"),
    ]


def _time_html(numbers: Numbers, found: TokenFacts) -> str:
    """Steps and time of the recipe, and what that is based on."""
    recipe = numbers.recipe
    if not numbers.rows or not found.rows_kept:
        return ""
    steps = count_steps(recipe, numbers.rows)
    limited = " (the most that the recipe allows)" if recipe.max_steps is not None else ""
    sentence = f"This recipe takes {count(steps, 'step')}{limited}."
    run = numbers.time
    if run is None:
        return checks([("info", sentence)])
    likely, low, high = (rounded(taken) for taken in (run.seconds.likely, run.seconds.low, run.seconds.high))
    trust = "An estimate" if run.measured else "A guess"
    return checks([("info", f"{sentence} About {likely}. {trust} ({between(low, high)}): {run.source}.")])


def rounded(taken: float) -> str:
    """A time with no more digits than an estimate has."""
    if taken < 60:
        return duration(max(5, round(taken / 5) * 5))
    if taken < 600:
        return duration(round(taken / 60) * 60)
    return duration(round(taken / 300) * 300 if taken < 7200 else round(taken / 3600) * 3600)


def between(low: str, high: str) -> str:
    """Two numbers with their units, a common unit named once: 3 to 4 min, 50 s to 2 min."""
    number, _, unit = low.partition(" ")
    same = unit != "" and high.endswith(f" {unit}") and high.count(" ") == 1
    return low if low == high else f"{number if same else low} to {high}"


def short(number: float) -> str:
    """A large number in few digits: 950, 12 k, 3.4 M."""
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= scale:
            value = number / scale
            return f"{value:.1f} {unit}" if value < 10 else f"{value:,.0f} {unit}"
    return f"{number:.0f}"
