"""Measured peaks: kept beside their estimates, they correct later ones on the same machine, within limits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.home import Home
from core.fit import Place
from core.fit.learned import (
    HIGHEST,
    LOWEST,
    Measured,
    correction,
    median,
    note_measured,
    read_measured,
    reset_measured,
)
from core.machine import GIB, card_named
from core.runs.progress import read_progress
from tests.training_runs import events, make_run, work_side_by_side

CPU = Place(None, 20 * GIB, 24 * GIB)
CARD = Place(card_named("RTX 3060"), 11 * GIB, 32 * GIB)
RUN = Measured(
    run="2026-11-22_pirate",
    day="2026-11-22",
    model="SmolLM2-135M-Instruct",
    parameters=134_515_008,
    card="CPU",
    quantization="none",
    checkpointing="none",
    backend="unsloth",
    max_length=512,
    estimated=2_000_000_000,
    measured=2_200_000_000,
    tokens_per_s=114.0,
    work=6.5e10,
)


def test_without_runs_nothing_is_corrected(home: Home) -> None:
    assert (correction(home, CPU).factor, correction(home, CPU).runs) == (1.0, 0)


def test_a_run_corrects_its_own_kind_of_place_only(home: Home) -> None:
    note_measured(home, RUN)
    assert read_measured(home) == [RUN]
    found = correction(home, CPU)
    assert found.factor == pytest.approx(1.1)
    assert "10% more" in found.reason and "one run" in found.reason
    assert correction(home, CARD).factor == 1.0


def test_one_odd_run_leads_nothing_astray(home: Home) -> None:
    for number, peak in enumerate((2.1e9, 2.2e9, 9e9, 2.0e9, 2.1e9)):
        note_measured(home, RUN.model_copy(update={"run": f"run {number}", "measured": round(peak)}))
    assert correction(home, CPU).factor == pytest.approx(1.05)
    assert "last 5 runs" in correction(home, CPU).reason


@pytest.mark.parametrize(("peak", "factor"), [(100, LOWEST), (90_000_000_000, HIGHEST)])
def test_a_correction_has_limits(home: Home, peak: int, factor: float) -> None:
    note_measured(home, RUN.model_copy(update={"measured": peak}))
    assert correction(home, CPU).factor == factor


def test_a_resumed_run_counts_once_and_old_ones_fade(home: Home) -> None:
    note_measured(home, RUN)
    note_measured(home, RUN.model_copy(update={"measured": 2_400_000_000}))
    assert [run.measured for run in read_measured(home)] == [2_400_000_000]
    for number in range(25):
        note_measured(home, RUN.model_copy(update={"run": f"run {number}", "measured": 2_000_000_000}))
    assert correction(home, CPU).factor == 1.0


def test_it_can_be_reset(home: Home) -> None:
    note_measured(home, RUN)
    note_measured(
        home, RUN.model_copy(update={"run": "on the card", "card": CARD.gpu.name if CARD.gpu else ""})
    )
    reset_measured(home, CPU)
    assert correction(home, CPU).runs == 0
    assert correction(home, CARD).runs == 1
    reset_measured(home)
    assert read_measured(home) == []


def test_nonsense_is_not_noted(home: Home) -> None:
    note_measured(home, RUN.model_copy(update={"measured": 0, "tokens_per_s": 0.0}))
    note_measured(home, RUN.model_copy(update={"estimated": 0}))
    assert read_measured(home) == []


@pytest.mark.parametrize(
    "text",
    ["", "[", "7", '{"runs": 3}', '{"runs": [1, {"run": "x"}, null]}', '{"runs": [{"run": 1}]}', "\x00"],
)
def test_a_damaged_file_costs_the_correction_and_nothing_else(home: Home, text: str) -> None:
    (home.root / "measured.json").write_text(text)
    assert correction(home, CPU).factor == 1.0
    note_measured(home, RUN)
    assert read_measured(home) == [RUN]


def test_foreign_values_in_an_entry_drop_it(home: Home) -> None:
    good = RUN.model_dump()
    bad = [{**good, "measured": value} for value in ("1", None, True, 1.5, [], -4)]
    (home.root / "measured.json").write_text(json.dumps({"runs": [*bad, good]}))
    assert read_measured(home) == [RUN]


def test_a_large_run_counts_more(home: Home) -> None:
    for number in range(3):
        note_measured(home, RUN.model_copy(update={"run": f"small {number}"}))
    note_measured(
        home, RUN.model_copy(update={"run": "large", "estimated": 9_000_000_000, "measured": 9_000_000_000})
    )
    assert correction(home, CPU).factor == 1.0


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0.01, 100), st.floats(1, 1e12)), min_size=1, max_size=30))
def test_half_of_the_weight_lies_on_either_side_of_the_median(pairs: list[tuple[float, float]]) -> None:
    middle, half = median(pairs), sum(weight for _, weight in pairs) / 2
    below = sum(weight for value, weight in pairs if value < middle)
    up_to = sum(weight for value, weight in pairs if value <= middle)
    assert below <= half * (1 + 1e-9) and up_to >= half * (1 - 1e-9)


@pytest.mark.slow
def test_a_training_notes_its_peak_beside_its_estimate(home: Home, tiny_model: Path) -> None:
    """The real worker; a run that has not seen every row notes its speed alone."""
    whole, part = make_run(home, tiny_model, max_steps=6), make_run(home, tiny_model, max_steps=2)
    work_side_by_side([whole, part])
    (entry,) = (run for run in read_measured(home) if run.measured)
    assert {run.run for run in read_measured(home)} == {whole.name, part.name}
    summary = events(whole, "summary")[0]
    assert (entry.run, entry.measured) == (whole.name, pytest.approx(summary["peak_memory"], rel=0.05))
    assert entry.estimated == events(whole, "started")[0]["estimated_memory"]
    assert entry.tokens_per_s == pytest.approx(summary["tokens_per_s"], abs=0.1)
    progress = read_progress(whole)
    assert (progress.estimated_memory, progress.eta_spread) == (entry.estimated, pytest.approx(1.5, abs=0.5))
    assert correction(home, CPU).runs == 1
