"""Will it fit here? Joins recipe, model and machine: the corrected estimate, make it fit, use the room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from core.base.home import Home
from core.fit import estimate_memory, search
from core.fit.levers import WITH_8_BIT, Lengths
from core.fit.measured import correction
from core.fit.search import Candidate, Step
from core.fit.workload import MemoryEstimate, Place, Workload
from core.methods.settle import cannot_express
from core.models.spec import ModelSpec

if TYPE_CHECKING:
    from core.recipe import Recipe

__all__ = [
    "Candidate",
    "Lengths",
    "Step",
    "as_trained",
    "bits_of",
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
    """What a recipe asks for on this place; `longest` is the data's longest row in tokens, if known.

    The engine is guessed without loading one: Unsloth where it is installed and can do what is asked for.
    """
    backend = backend_of(recipe)
    work = Workload.of(recipe, backend, bits_of(recipe.precision, place), longest)
    return as_trained(work, place)


def as_trained(work: Workload, place: Place) -> Workload:
    """With what the engines do instead of what they can't do here (core.train.trainer, peft_engine)."""
    if work.backend == "peft" and work.checkpointing == "unsloth":
        work = replace(work, checkpointing="hf")
    if "8bit" in work.optimizer and (place.gpu is None or place.gpu.vendor not in WITH_8_BIT):
        work = replace(work, optimizer="adamw_torch")
    return work


def backend_of(recipe: Recipe) -> str:
    """The engine that will most likely train, `unsloth` or `peft`."""
    if recipe.engine == "peft" or cannot_express(recipe) or not find_spec("unsloth"):
        return "peft"
    return "unsloth"


def bits_of(precision: str, place: Place) -> int:
    """Bits of a weight that is not quantized; `auto` is 16 on cards, 32 on CPUs and Apple's GPUs."""
    if precision == "auto":
        return 32 if place.gpu is None or place.gpu.vendor == "apple" else 16
    return 32 if precision == "fp32" else 16


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
