"""Models on the page: their shapes, those on this machine, and what the hub has answered about others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.home import STARTER
from core.base.looks import look
from core.models import (
    STARTER_ID,
    ModelSpec,
    hf_cache_models,
    is_hub_id,
    local_models,
    model_folder,
    model_name,
    require_config,
    spec_of_config,
    spec_of_folder,
    spec_of_hub,
)
from core.models.catalogue import CatalogueModel, load_catalogue
from core.models.hub import log_in
from core.models.hub_search import hub_repo, search_hub
from ui.bench import Bench
from ui.choices import Choices
from ui.memo import Errand, stamp

_LOCALS_S = 3.0


@dataclass(frozen=True)
class HubFacts:
    """What the hub says of a model: bytes to download, its shapes, or why they can't be read."""

    size: int
    gated: bool
    spec: ModelSpec | None
    problem: str = ""


@dataclass(frozen=True)
class LocalModel:
    """A model folder on this machine. `cached`: in the Hugging Face cache, not in the home folder."""

    folder: Path
    name: str
    cached: bool


def chosen_folder(bench: Bench, choices: Choices) -> Path:
    """Where the chosen model lies, or will lie; a folder that is not there, where it can't be looked at.

    So what rests on it takes the model for missing; `chosen_spec` and the Model step say why.
    """
    try:
        return model_folder(bench.home, choices.model or STARTER)
    except UserError:
        return bench.home.models / ".out-of-reach"


def chosen_spec(bench: Bench, choices: Choices) -> ModelSpec:
    """The shapes of the chosen model: from its folder, the catalogue, or what the hub has answered.

    A UserError while nothing is known of them.
    """
    name = choices.model
    if not name:
        raise UserError("No model is chosen yet. Choose one in the Model step.")
    folder = model_folder(bench.home, name)
    if (folder / "config.json").is_file():
        return folder_spec(bench, folder)
    listed = listed_model(STARTER_ID if name == STARTER else name)
    if listed is not None:
        return catalogue_spec(bench, listed)
    if not is_hub_id(name):
        require_config(folder)
    errand = ask_hub(bench, name)
    if errand.status == "running":
        raise UserError(f"The hub is asked about the shapes of {name}.")
    facts: HubFacts | None = errand.result
    if facts is not None and facts.spec is not None:
        return facts.spec
    problem = facts.problem if facts is not None else errand.message
    raise UserError(problem or f"The shapes of {name} are not known before it is downloaded.")


def folder_spec(bench: Bench, folder: Path) -> ModelSpec:
    """The shapes of a model folder, read once while its config.json stays the same."""
    parts = (folder, stamp(folder / "config.json"))
    return bench.memo.get(
        "shapes", parts, lambda: look(folder, partial(spec_of_folder, bench.home, folder)), keep=400
    )


def catalogue_spec(bench: Bench, model: CatalogueModel) -> ModelSpec:
    """The shapes of a model of the catalogue, from the catalogue alone."""
    return bench.memo.get("listed", model.id, lambda: spec_of_config(model.config, model.id), keep=400)


def read_ahead(bench: Bench) -> None:
    """Read the catalogue before it is asked for."""
    for model in load_catalogue():
        catalogue_spec(bench, model)


def listed_model(name: str) -> CatalogueModel | None:
    """The model of the catalogue with this id."""
    return next((model for model in load_catalogue() if model.id == name), None)


def models_here(bench: Bench) -> list[LocalModel]:
    """The models in the home folder, then those in the Hugging Face cache; looked for now and then."""

    def find() -> list[LocalModel]:
        own = [LocalModel(path, model_name(path), False) for path in local_models(bench.home)]
        return [*own, *(LocalModel(path, model_name(path), True) for path in hf_cache_models())]

    return bench.memo.get("models here", (), find, for_s=_LOCALS_S)


def ask_hub(bench: Bench, name: str, again: bool = False) -> Errand:
    """What the hub says of a model (HubFacts); the first question of a process only starts the asking."""

    def work() -> HubFacts:
        repo = hub_repo(name, want="answer")
        try:
            return HubFacts(repo.bytes, repo.gated, spec_of_hub(bench.home, name, print))
        except UserError as refusal:
            return HubFacts(repo.bytes, repo.gated, None, str(refusal))

    return _asked(bench, f"model {name}", work, again)


def search(bench: Bench, words: str, again: bool = False) -> None:
    """Ask the hub for models with these words, without waiting for the answer."""
    bench.words = words
    if words:
        _asked(bench, f"search {words}", lambda: search_hub(words), again)


def try_token(bench: Bench, token: str) -> None:
    """Try a token of the hub; its library keeps it, nothing here does."""
    if token:
        _asked(bench, "login", lambda: log_in(token), again=True)


def _asked(bench: Bench, name: str, work: Callable[[], Any], again: bool) -> Errand:
    errand = bench.errands.find(name)
    if errand is None or (again and errand.status != "running"):
        bench.errands.run(name, work)
    return bench.errands.find(name) or Errand("running")
