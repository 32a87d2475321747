"""Will the chosen run fit? Model, data, recipe and machine put together for the meter and the card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.base.errors import UserError
from core.fit import MemoryEstimate, Place, estimate_memory
from core.fit.fitting import Lengths, workload_of
from core.fit.measured import Correction, correction
from core.models import STARTER, ModelSpec, is_hub_id
from core.models.catalogue import load_catalogue
from core.models.find import STARTER_ID
from core.recipe import Recipe
from ui.bench import Bench
from ui.data_look import look


@dataclass(frozen=True)
class Fit:
    """What the chosen run would take, and what that was computed from.

    `disk`: bytes that it would still write; without the base model where that is here already.
    """

    recipe: Recipe
    spec: ModelSpec
    place: Place
    lengths: Lengths | None
    correction: Correction
    estimate: MemoryEstimate
    disk: int


def fit_of(bench: Bench, **changes: Any) -> Fit:
    """The estimate for the choices so far, with some settings changed.

    A UserError when nothing is known about the model's shapes, or when the recipe refuses a setting.
    """
    recipe = bench.recipe_so_far()
    if changes:
        recipe = recipe.with_changes(**changes)
    return bench.desk.at_once(("fit", recipe.model_dump_json()), lambda: _fit(bench, recipe))


def _fit(bench: Bench, recipe: Recipe) -> Fit:
    spec, place, lengths = spec_of(bench), bench.place(), lengths_of(bench)
    learned = correction(bench.home, place)
    workload = workload_of(recipe, place, lengths.longest if lengths else None)
    estimate = estimate_memory(spec, workload, place, learned.factor)
    here = (spec.file_bytes or 0) if _is_here(bench) else 0
    return Fit(recipe, spec, place, lengths, learned, estimate, estimate.disk - here)


def _is_here(bench: Bench) -> bool:
    """Whether the chosen model is on this machine."""
    return (bench.model_folder() / "config.json").is_file()


def spec_of(bench: Bench) -> ModelSpec:
    """The shapes of the chosen model: from its folder, the catalogue, or what the hub has answered."""
    name = bench.choices().model
    if not name:
        raise UserError("No model is chosen yet. Choose one in the Model step.")
    folder = bench.model_folder()
    if _is_here(bench):
        return bench.models.spec(folder)
    wanted = STARTER_ID if name == STARTER else name
    model = next((model for model in load_catalogue() if model.id == wanted), None)
    if model is not None:
        return bench.models.catalogue_spec(model)
    if not is_hub_id(name):
        raise UserError(f"There is no model in {folder}. Choose another in the Model step.")
    errand, facts = bench.models.ask(name)
    if facts is not None and facts.spec is not None:
        return facts.spec
    if errand is not None and errand.status == "running":
        raise UserError(f"The hub is asked about the shapes of {name}.")
    problem = facts.problem if facts is not None else errand.message if errand is not None else ""
    raise UserError(problem or f"The shapes of {name} are not known before it is downloaded.")


def lengths_of(bench: Bench) -> Lengths | None:
    """The lengths of the chosen data, as soon as they are measured.

    While the chosen model is not here, those that the last one has counted: others cut text much alike.
    """
    data = bench.choices().data
    try:
        state = look(bench).state
    except UserError:
        return None
    if state is None or state.tokens is None or not state.tokens.rows_measured:
        return bench.models.lengths(data)
    found = bench.desk.token_facts(state.tokens, bench.recipe_so_far().max_length)
    if not found.max:
        return None
    lengths = Lengths(found.p95, found.p99, found.max)
    bench.models.note_lengths(data, lengths)
    return lengths
