"""Time and energy: steps and tokens exactly, speed from the best that is known, and how far it may be off."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.home import Home
from core.fit import Place
from core.fit.answer import Fit
from core.fit.calibration import read_calibration, write_calibration
from core.fit.learned import Measured, note_measured
from core.fit.speed import (
    AGAIN,
    ANOTHER,
    CALIBRATED,
    GUESSED,
    RunTime,
    Speed,
    operations_per_token,
    speed_here,
    spread_of,
    watts,
)
from core.machine import GIB, Gpu, Hardware, card_named, find_hardware
from core.models import ModelSpec, spec_of_config
from core.models.catalogue import catalogue_model
from core.recipe import Recipe
from tests.trainings import training

CPU = Place(None, 20 * GIB, 24 * GIB)
WORK = {"max_length": 512}


def operations(spec: ModelSpec, place: Place = CPU, **knobs: object) -> float:
    return operations_per_token(training(spec, place, **{**WORK, **knobs}))


def speed(home: Home, spec: ModelSpec, hardware: Hardware, place: Place = CPU) -> Speed:
    return speed_here(home, training(spec, place, **WORK), hardware)


def run_time(
    home: Home, hardware: Hardware, spec: ModelSpec, recipe: Recipe, rows: int, tokens: float
) -> RunTime:
    return Fit.of(home, recipe, spec, CPU).time(hardware, rows, tokens)


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
        work=120.0 * operations(spec),
    )
    return entry.model_copy(update=changes)


def test_what_is_known_best_counts(home: Home, hardware: Hardware, starter: ModelSpec) -> None:
    """A guess, then a calibration, then another model's run, then a run of the same model."""
    guess = speed(home, starter, hardware)
    # two cores did 114 tokens a second
    assert (80 < guess.tokens_per_s < 160, guess.measured, guess.spread) == (True, False, GUESSED)
    write_calibration(home, "CPU", 50 * operations(starter))
    calibrated = speed(home, starter, hardware)
    assert (calibrated.tokens_per_s, calibrated.spread) == (pytest.approx(50), CALIBRATED)
    note_measured(home, measured(starter, run="other", model="another", tokens_per_s=9.0))
    other = speed(home, starter, hardware)
    assert (other.tokens_per_s, other.spread) == (pytest.approx(120), ANOTHER)
    note_measured(home, measured(starter, tokens_per_s=100.0))
    again = speed(home, starter, hardware)
    assert (again.tokens_per_s, again.measured, again.spread) == (100.0, True, AGAIN)
    assert "newest" in again.source


def test_another_cards_runs_say_nothing(home: Home, hardware: Hardware, starter: ModelSpec) -> None:
    note_measured(home, measured(starter, card="NVIDIA GeForce RTX 3060"))
    assert not speed(home, starter, hardware).measured


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"CPU": 3}', '{"CPU": {"operations_per_s": "1"}}', '{"CPU": {"operations_per_s": -1}}'],
)
def test_a_damaged_calibration_is_none(home: Home, text: str) -> None:
    write_calibration(home, "other", 1.0)
    (home.root / "calibration" / "speeds.json").write_text(text)
    assert read_calibration(home, CPU) is None


def test_checkpointing_packed_weights_and_length_cost_time(starter: ModelSpec) -> None:
    plain = operations(starter)
    assert operations(starter, checkpointing="hf") == pytest.approx(1.5 * plain, rel=0.05)
    assert operations(starter, quantization="nf4") > 2 * plain
    assert operations(starter, max_length=8192) > plain
    card = card_named("RTX 4090")
    place = Place(card, card.total, 32 * GIB)
    small, large = (operations(starter, place, method="qlora", micro_batch=rows) for rows in (1, 8))
    assert small > large


def test_every_method_takes_the_time_of_what_it_trains(starter: ModelSpec) -> None:
    """The adapter's term is its own size; tokens of a prompt are computed besides the row's."""
    prompt = training(starter, CPU, method="prompt", **WORK)
    own = 6 * prompt.method.parameters(starter, prompt.recipe)
    frozen = operations(starter) - 6 * training(starter).method.parameters(starter, Recipe())
    assert operations(starter, method="prompt") == pytest.approx((frozen + own) * (512 + 20) / 512)
    assert operations(starter, method="full") == pytest.approx(frozen + 2 * starter.active)
    assert operations(starter, method="dora") > operations(starter) > operations(starter, method="ia3")


def test_newer_and_larger_cards_are_faster(home: Home, hardware: Hardware, starter: ModelSpec) -> None:
    speeds = []
    for name in ("GTX 1660", "RTX 3060", "RTX 3090", "RTX 4090", "H100"):
        gpu = card_named(name)
        speeds.append(speed(home, starter, hardware, Place(gpu, gpu.total, 32 * GIB)).tokens_per_s)
    assert speeds == sorted(speeds)


def test_a_run_is_estimated(home: Home, hardware: Hardware, starter: ModelSpec) -> None:
    recipe = Recipe(micro_batch=1, accumulate=8, epochs=2)
    found = run_time(home, hardware, starter, recipe, 100, 50.0)
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
    assert run_time(home, hardware, starter, recipe, rows, 50.0).tokens == tokens


def test_the_last_speed_of_the_same_model_counts(home: Home, hardware: Hardware, starter: ModelSpec) -> None:
    """Also of a run that was stopped, which notes no peak."""
    note_measured(home, measured(starter, run="other", model="/x", tokens_per_s=900.0))
    note_measured(home, measured(starter, run="same", measured=0))
    found = run_time(home, hardware, starter, Recipe(max_length=512), 80, 50.0)
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
