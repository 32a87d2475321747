"""How long a training will take: steps from the recipe, speed from earlier runs or a rough number."""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.errors import UserError
from core.hardware import Hardware
from core.home import Home
from core.recipe import Recipe
from core.runs import Run, list_runs

# tokens a second × parameters of a LoRA training, in round numbers. Measured by us: one CPU core
# (SmolLM2 135M, 114 tokens/s on two). The GPUs' are our guesses from their arithmetic and may be wrong by a
# factor of 3; the page says so.
_A_CORE = 7.5e9
_BY_CAPABILITY = ((9, 4e13), (8, 1e13), (7, 3e12))
_OTHER_GPU = 2e12
_RUNS_ASKED = 8


@dataclass(frozen=True)
class Speed:
    """Tokens a second, and where the number comes from, as the end of a sentence."""

    tokens_per_s: float
    source: str
    measured: bool


def count_steps(recipe: Recipe, rows: int) -> int:
    """Optimizer steps of a run that trains on `rows` rows, as the Trainer counts them."""
    if recipe.max_steps is not None:
        return recipe.max_steps
    return math.ceil(recipe.epochs * math.ceil(rows / recipe.effective_batch))


def seconds(recipe: Recipe, rows: int, tokens_a_row: float, speed: Speed) -> float:
    """Seconds of the steps alone; loading, measuring and saving come on top."""
    seen = count_steps(recipe, rows) * min(recipe.effective_batch, max(rows, 1))
    return seen * tokens_a_row / speed.tokens_per_s


def expected_speed(home: Home, recipe: Recipe, hardware: Hardware, parameters: int) -> Speed:
    """As fast as the newest run of this model on this machine, else a rough number for such hardware."""
    for run in list_runs(home)[:_RUNS_ASKED]:
        found = _speed_of(run, recipe)
        if found:
            return Speed(found, f"as fast as {run.name}, {found:,.0f} tokens/s", True)
    return rough_speed(hardware, parameters)


def rough_speed(hardware: Hardware, parameters: int) -> Speed:
    """What such hardware does with a model of that size, give or take a factor of 3."""
    gpu = hardware.best_gpu
    if gpu is None:
        power, what = _A_CORE * hardware.cores, f"{hardware.cores} CPU cores"
    else:
        known = (power for major, power in _BY_CAPABILITY if gpu.capability and gpu.capability[0] >= major)
        power, what = next(known, _OTHER_GPU), gpu.name
    speed = power / max(parameters, 1_000_000)
    return Speed(speed, f"a rough {_two_digits(speed):,.0f} tokens/s for {what}", False)


def _speed_of(run: Run, recipe: Recipe) -> float | None:
    """Tokens a second of a run's last step, if it trained the same model in the same way."""
    try:
        theirs = run.recipe
    except UserError:
        return None
    if (theirs.model, theirs.quantization) != (recipe.model, recipe.quantization):
        return None
    speeds = [event.get("tokens_per_s") for event in run.events.all() if event["kind"] == "log"]
    return next((float(speed) for speed in reversed(speeds) if speed), None)


def _two_digits(number: float) -> float:
    return float(f"{number:.2g}")
