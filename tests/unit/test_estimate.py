"""How long a training will take: from earlier runs of the same model, else a rough number that says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.estimate import Speed, expected_speed, rough_speed, seconds
from core.hardware import GIB, Gpu, Hardware, find_hardware
from core.home import Home
from core.recipe import Recipe
from core.runs import Run


@pytest.fixture
def hardware(home: Home) -> Hardware:
    return replace(find_hardware(home.root), gpus=(), cores=2)


def add_run(home: Home, name: str, speeds: list[float], **recipe: object) -> None:
    run = Run(home.runs / name)
    Recipe.model_validate(recipe).save(run.folder / "recipe.yaml")
    for step, speed in enumerate(speeds, 1):
        run.events.append("log", step=step, loss=1.0, tokens_per_s=speed)


def test_the_last_speed_of_the_same_model_counts(home: Home, hardware: Hardware) -> None:
    add_run(home, "other", [900.0], model="/models/other")
    add_run(home, "same", [80.0, 120.0])
    add_run(home, "untrained", [])
    speed = expected_speed(home, Recipe(), hardware, 135_000_000)
    assert (speed.tokens_per_s, speed.measured) == (120.0, True)
    assert "same" in speed.source


def test_without_runs_a_rough_number_is_told_as_such(home: Home, hardware: Hardware) -> None:
    speed = expected_speed(home, Recipe(), hardware, 135_000_000)
    # two cores did 114 tokens/s
    assert 80 < speed.tokens_per_s < 160
    assert not speed.measured
    assert "2 CPU cores" in speed.source


def test_a_newer_gpu_is_faster_and_a_larger_model_slower(hardware: Hardware) -> None:
    cards = [
        Gpu("card", 12 * GIB, 11 * GIB, capability, "580") for capability in (None, (7, 5), (8, 6), (9, 0))
    ]
    speeds = [rough_speed(replace(hardware, gpus=(card,)), 10**9).tokens_per_s for card in cards]
    assert speeds == sorted(speeds)
    assert rough_speed(hardware, 10**10).tokens_per_s < rough_speed(hardware, 10**9).tokens_per_s


@pytest.mark.parametrize(
    ("recipe", "rows", "expected"),
    [
        (Recipe(micro_batch=1, accumulate=8, epochs=2), 80, 20 * 8 * 50 / 100),
        (Recipe(micro_batch=1, accumulate=8, max_steps=5), 80, 5 * 8 * 50 / 100),
        (Recipe(micro_batch=1, accumulate=8, max_steps=5), 3, 5 * 3 * 50 / 100),
    ],
)
def test_time_is_tokens_by_speed(recipe: Recipe, rows: int, expected: float) -> None:
    assert seconds(recipe, rows, 50.0, Speed(100.0, "", True)) == expected
