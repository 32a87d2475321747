"""How long a training will take and what it draws: steps from the recipe, speed from what is known here."""

from __future__ import annotations

from core.base.errors import UserError
from core.base.home import Home
from core.fit.energy import watts
from core.fit.fitting import workload_of
from core.fit.measured import place_name
from core.fit.run_time import RunTime, run_time
from core.fit.speed import AGAIN, Speed, speed_here
from core.fit.steps import rows_seen, steps_of
from core.fit.workload import Place
from core.machine import Hardware
from core.models.spec import ModelSpec
from core.recipe import Recipe
from core.runs.run import Run, list_runs

__all__ = ["RunTime", "count_steps", "estimate_run"]

_RUNS_ASKED = 8


def count_steps(recipe: Recipe, rows: int) -> int:
    """Optimizer steps of a run that trains on `rows` rows, as the Trainer counts them."""
    return steps_of(rows, recipe.effective_batch, recipe.epochs, recipe.max_steps)


def estimate_run(
    home: Home,
    recipe: Recipe,
    spec: ModelSpec,
    hardware: Hardware,
    place: Place,
    rows: int,
    tokens_a_row: float,
) -> RunTime:
    """Steps, tokens, time and energy of a recipe on `rows` training rows of so many tokens on average.

    `place` is where it runs, `hardware` the machine around it. The speed is that of the newest run of the
    same model on this machine; else what other runs, a calibration or the class of the card say.
    """
    speed = _speed_again(home, recipe) if place_name(place) == place_name(Place.of(hardware)) else None
    speed = speed or speed_here(home, spec, workload_of(recipe, place), place, hardware)
    draw = watts(place.gpu, hardware.cores)
    return run_time(count_steps(recipe, rows), _tokens(recipe, rows, tokens_a_row), speed, draw)


def _tokens(recipe: Recipe, rows: int, tokens_a_row: float) -> float:
    return rows_seen(count_steps(recipe, rows), recipe.effective_batch, rows) * tokens_a_row


def _speed_again(home: Home, recipe: Recipe) -> Speed | None:
    """The newest run's that trained the same model in the same way."""
    for run in list_runs(home)[:_RUNS_ASKED]:
        found = _speed_of(run, recipe)
        if found:
            return Speed(found, f"as fast as {run.name}, {found:,.0f} tokens/s", True, AGAIN)
    return None


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
