"""Time and energy: steps and tokens exactly, speed from the best that is known, and how far it may be off."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.home import Home
from core.fit import Place, Workload
from core.fit.calibration import read_calibration, write_calibration
from core.fit.cost import operations_per_token
from core.fit.energy import watts
from core.fit.estimate import estimate_run
from core.fit.measured import Measured, note_measured
from core.fit.run_time import spread_of
from core.fit.speed import AGAIN, ANOTHER, CALIBRATED, GUESSED, speed_here
from core.machine import GIB, Gpu, Hardware, card_named, find_hardware
from core.models import ModelSpec, spec_of_config
from core.models.catalogue import catalogue_model
from core.recipe import Recipe
from core.runs.run import Run

CPU = Place(None, 20 * GIB, 24 * GIB)
WORK = Workload(bits=32, max_length=512)


@pytest.fixture(scope="module")
def starter() -> ModelSpec:
    name = "HuggingFaceTB/SmolLM2-135M-Instruct"
    return spec_of_config(catalogue_model(name).config, name)


@pytest.fixture
def hardware(home: Home) -> Hardware:
    return replace(find_hardware(home.root), gpus=(), cores=2)


def measured(spec: ModelSpec, **changes: object) -> Measured:
    entry = Measured(
        run="newest",
        day="2026-11-22",
        model=spec.name,
        parameters=spec.parameters,
        card="CPU",
        quantization="none",
        checkpointing="none",
        backend="unsloth",
        max_length=512,
        estimated=1,
        measured=1,
        tokens_per_s=120.0,
        work=120.0 * operations_per_token(spec, WORK, None),
    )
    return replace(entry, **changes)  # pyright: ignore[reportArgumentType]


def test_what_is_known_best_counts(home: Home, hardware: Hardware, starter: ModelSpec) -> None:
    """A guess, then a calibration, then another model's run, then a run of the same model."""
    guess = speed_here(home, starter, WORK, CPU, hardware)
    # two cores did 114 tokens a second
    assert (80 < guess.tokens_per_s < 160, guess.measured, guess.spread) == (True, False, GUESSED)
    write_calibration(home, "CPU", 50 * operations_per_token(starter, WORK, None))
    calibrated = speed_here(home, starter, WORK, CPU, hardware)
    assert (calibrated.tokens_per_s, calibrated.spread) == (pytest.approx(50), CALIBRATED)
    note_measured(home, measured(starter, run="other", model="another", tokens_per_s=9.0))
    other = speed_here(home, starter, WORK, CPU, hardware)
    assert (other.tokens_per_s, other.spread) == (pytest.approx(120), ANOTHER)
    note_measured(home, measured(starter, tokens_per_s=100.0))
    again = speed_here(home, starter, WORK, CPU, hardware)
    assert (again.tokens_per_s, again.measured, again.spread) == (100.0, True, AGAIN)
    assert "newest" in again.source


def test_another_cards_runs_say_nothing(home: Home, hardware: Hardware, starter: ModelSpec) -> None:
    note_measured(home, measured(starter, card="NVIDIA GeForce RTX 3060"))
    assert not speed_here(home, starter, WORK, CPU, hardware).measured


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"CPU": 3}', '{"CPU": {"operations_per_s": "1"}}', '{"CPU": {"operations_per_s": -1}}'],
)
def test_a_damaged_calibration_is_none(home: Home, text: str) -> None:
    write_calibration(home, "other", 1.0)
    (home.root / "calibration" / "speeds.json").write_text(text)
    assert read_calibration(home, CPU) is None


def test_checkpointing_packed_weights_and_length_cost_time(starter: ModelSpec) -> None:
    card = card_named("RTX 4090")
    plain = operations_per_token(starter, WORK, None)
    assert operations_per_token(starter, replace(WORK, checkpointing="hf"), None) == pytest.approx(
        1.5 * plain, rel=0.05
    )
    assert operations_per_token(starter, replace(WORK, quantization="nf4"), None) > 2 * plain
    assert operations_per_token(starter, replace(WORK, max_length=8192), None) > plain
    small, large = (
        operations_per_token(starter, replace(WORK, bits=16, quantization="nf4", micro_batch=rows), card)
        for rows in (1, 8)
    )
    assert small > large


def test_newer_and_larger_cards_are_faster(home: Home, hardware: Hardware, starter: ModelSpec) -> None:
    work = replace(WORK, bits=16)
    speeds = []
    for name in ("GTX 1660", "RTX 3060", "RTX 3090", "RTX 4090", "H100"):
        gpu = card_named(name)
        speeds.append(speed_here(home, starter, work, Place(gpu, gpu.total, 32 * GIB), hardware).tokens_per_s)
    assert speeds == sorted(speeds)


def test_a_run_is_estimated(home: Home, hardware: Hardware, starter: ModelSpec) -> None:
    recipe = Recipe(day=None, micro_batch=1, accumulate=8, epochs=2)
    found = estimate_run(home, recipe, starter, hardware, CPU, rows=100, tokens_a_row=50.0)
    assert (found.steps, found.tokens) == (26, 26 * 8 * 50)
    assert found.seconds.low < found.seconds.likely < found.seconds.high
    assert found.seconds.high / found.seconds.likely == pytest.approx(GUESSED)
    # two busy cores and the rest of a desktop draw about 100 W
    assert found.kwh.likely == pytest.approx(found.seconds.likely * watts(None, 2) / 3.6e6)


@pytest.mark.parametrize(
    ("recipe", "rows", "tokens"),
    [
        (Recipe(micro_batch=1, accumulate=8, epochs=2), 80, 20 * 8 * 50),
        (Recipe(micro_batch=1, accumulate=8, max_steps=5), 80, 5 * 8 * 50),
        (Recipe(micro_batch=1, accumulate=8, max_steps=5), 3, 5 * 3 * 50),
    ],
)
def test_a_runs_tokens_are_those_of_its_steps(
    home: Home, hardware: Hardware, starter: ModelSpec, recipe: Recipe, rows: int, tokens: int
) -> None:
    assert estimate_run(home, recipe, starter, hardware, CPU, rows, 50.0).tokens == tokens


def test_the_last_speed_of_the_same_model_counts(home: Home, hardware: Hardware, starter: ModelSpec) -> None:
    """Also of a run that was stopped, which notes no peak."""
    for name, model, speeds in (
        ("other", "/x", [900.0]),
        ("same", "starter", [80.0, 120.0]),
        ("no", "starter", []),
    ):
        run = Run(home.runs / name)
        Recipe(model=model).save(run.folder / "recipe.yaml")
        for step, speed in enumerate(speeds, 1):
            run.events.append("log", step=step, loss=1.0, tokens_per_s=speed)
    found = estimate_run(home, Recipe(), starter, hardware, CPU, 80, 50.0)
    assert found.seconds.likely == pytest.approx(found.tokens / 120.0)
    assert found.measured and "same" in found.source


def test_energy_follows_the_cards_power() -> None:
    assert watts(card_named("RTX 4090"), 16) > watts(card_named("RTX 4060"), 16) > 100
    laptop, desktop = card_named("RTX 4060 Laptop"), card_named("RTX 4060")
    assert watts(laptop, 8) < watts(desktop, 8)
    unknown = Gpu("A card", 12 * GIB, 12 * GIB, (8, 6), "")
    assert 200 < watts(unknown, 8) < 400


def test_what_is_left_gets_surer() -> None:
    none, few, many = spread_of([]), spread_of([1.0, 1.4, 1.2]), spread_of([1.0, 1.4, 1.2] * 5)
    assert none > few > many > 1
    assert spread_of([1.0] * 10) < 1.1


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1e3), max_size=20))
def test_the_spread_of_what_is_left_has_bounds(taken: list[float]) -> None:
    assert 1 < spread_of(taken) <= 2
