"""Will it fit here? Joins recipe, model and machine: the corrected estimate, make it fit, use the room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from core.base.home import Home
from core.fit import estimate_memory, search
from core.fit.levers import Lengths
from core.fit.measured import correction
from core.fit.search import Candidate, Step
from core.fit.workload import MemoryEstimate, Place, Workload
from core.methods.settle import device_of, installed, settle
from core.models.spec import ModelSpec

if TYPE_CHECKING:
    from core.recipe import Recipe

__all__ = [
    "Candidate",
    "Lengths",
    "Step",
    "changes_of",
    "estimate_recipe",
    "estimator",
    "four_bits_help",
    "make_it_fit",
    "smaller_models",
    "use_the_room",
    "workload_of",
]


def workload_of(recipe: Recipe, place: Place, longest: int | None = None) -> Workload:
    """What a recipe comes to on this place; `longest` is the data's longest row in tokens, if known.

    The engine is guessed without loading one: Unsloth where it is installed and can do what is asked for.
    """
    settled, _ = settle(recipe, device_of(place.gpu, **installed()))
    return Workload.of(settled, longest)


def estimate_recipe(
    home: Home, recipe: Recipe, spec: ModelSpec, place: Place, lengths: Lengths | None = None
) -> MemoryEstimate:
    """The estimate of a recipe, corrected by what runs on this machine have measured."""
    workload = workload_of(recipe, place, lengths.longest if lengths else None)
    return _estimate(spec, workload, place, correction(home, place).factor)


def make_it_fit(
    spec: ModelSpec,
    recipe: Recipe,
    place: Place,
    lengths: Lengths | None = None,
    models: Iterable[Candidate] = (),
    factor: float = 1.0,
) -> list[Step]:
    """The least changes of the recipe that make it fit, those that cost quality last.

    `factor` is the correction of this machine. Empty where it fits already. Where nothing makes it fit, the
    last step's total is still more than there is.
    """
    workload = workload_of(recipe, place, lengths.longest if lengths else None)
    steps = search.make_it_fit(spec, workload, place, estimator(place, factor), lengths, models)
    return [_for_recipe(recipe, step) for step in steps]


def use_the_room(
    spec: ModelSpec, recipe: Recipe, place: Place, lengths: Lengths | None = None, factor: float = 1.0
) -> list[Step]:
    """Changes of the recipe that make it faster and still fit; empty where nothing does."""
    workload = workload_of(recipe, place, lengths.longest if lengths else None)
    steps = search.use_the_room(spec, workload, place, estimator(place, factor))
    return [_for_recipe(recipe, step) for step in steps]


def four_bits_help(spec: ModelSpec, workload: Workload, place: Place) -> bool:
    """Whether a base in 4 bits would take less here, as `make_it_fit` sees it."""
    return search.four_bits_help(spec, workload, place, estimator(place, 1.0))


def smaller_models() -> Iterator[Candidate]:
    """The catalogue's models, as what could be taken instead; read when somebody asks for the first."""
    from core.models import spec_of_config
    from core.models.catalogue import load_catalogue

    for model in load_catalogue():
        spec = spec_of_config(model.config, model.id)
        yield Candidate(model.id, model.title, model.family, model.kind, spec)


def changes_of(steps: Iterable[Step]) -> dict[str, Any]:
    """The recipe's knobs after all steps."""
    return {knob: value for step in steps for knob, value in step.change.items()}


def estimator(place: Place, factor: float) -> search.Estimate:
    """The corrected estimate of any model and workload on one place."""
    return partial(_estimate, place=place, factor=factor)


def _estimate(spec: ModelSpec, workload: Workload, place: Place, factor: float) -> MemoryEstimate:
    return estimate_memory(spec, workload, place, factor)


def _for_recipe(recipe: Recipe, step: Step) -> Step:
    """With the adapter's strength kept: alpha follows the rank."""
    if "rank" not in step.change:
        return step
    alpha = max(1, round(recipe.alpha * step.change["rank"] / recipe.rank))
    return Step({**step.change, "alpha": alpha}, step.words, step.total, step.saves)
