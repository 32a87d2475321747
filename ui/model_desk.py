"""What the Model step works on: shapes of models, what a run on each takes here, what the hub has answered.

Everything is on disk or on the hub; what is kept here only saves asking again at every tick.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from core.base.errors import UserError
from core.base.home import Home
from core.fit import MemoryEstimate, Place, Workload, estimate_memory
from core.fit.fitting import Lengths
from core.hub.search import Found, hub_repo, search_hub
from core.models import (
    ModelSpec,
    hf_cache_models,
    local_models,
    model_name,
    spec_of_config,
    spec_of_folder,
    spec_of_hub,
)
from core.models.catalogue import CatalogueModel, load_catalogue
from core.models.hub import log_in
from ui.errand import Errand, Errands

_REMEMBERED = 400
_SETTINGS = 4
_LOCALS_S = 3.0


@dataclass(frozen=True)
class Setting:
    """What a model would be trained with, and where."""

    workload: Workload
    place: Place
    lengths: Lengths | None = None
    correction: float = 1.0

    @cached_property
    def key(self) -> str:
        """Tells settings apart."""
        return repr((self.workload, self.place, self.lengths, self.correction))


@dataclass(frozen=True)
class HubFacts:
    """What the hub says of a model: bytes to download, its shapes, or why they can't be read."""

    size: int
    gated: bool
    spec: ModelSpec | None
    problem: str = ""


@dataclass(frozen=True)
class Local:
    """A model folder on this machine. `cached`: in the Hugging Face cache, not in the home folder."""

    folder: Path
    name: str
    cached: bool


class ModelDesk:
    """One per app process."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.words = ""
        self._errands = Errands()
        self._specs: dict[tuple[Path, float], ModelSpec] = {}
        self._of_catalogue: dict[str, ModelSpec] = {}
        self._lengths: dict[str, Lengths] = {}
        self._estimates: dict[str, dict[ModelSpec, MemoryEstimate]] = {}
        self._locals: tuple[float, list[Local]] | None = None
        self._found: dict[str, list[Found]] = {}
        self._facts: dict[str, HubFacts] = {}

    def spec(self, folder: Path) -> ModelSpec:
        """The shapes of a model folder, read once while its config.json stays the same."""
        file = folder / "config.json"
        key = (folder, file.stat().st_mtime if file.is_file() else 0.0)
        if key not in self._specs:
            self._specs = dict([*self._specs.items(), (key, spec_of_folder(folder))][-_REMEMBERED:])
        return self._specs[key]

    def catalogue_spec(self, model: CatalogueModel) -> ModelSpec:
        """The shapes of a model of the catalogue, from the catalogue alone."""
        if model.id not in self._of_catalogue:
            self._of_catalogue[model.id] = spec_of_config(model.config, model.id)
        return self._of_catalogue[model.id]

    def read_ahead(self) -> None:
        """Read the catalogue before it is asked for."""
        for model in load_catalogue():
            self.catalogue_spec(model)

    def note_lengths(self, data: str, lengths: Lengths) -> None:
        """Keep what was measured: other models than the one that is here cut the same rows much alike."""
        self._lengths[data] = lengths

    def lengths(self, data: str) -> Lengths | None:
        """How long the rows of this data are, as the last model has counted them."""
        return self._lengths.get(data)

    def estimate(self, spec: ModelSpec, setting: Setting) -> MemoryEstimate:
        """What a run takes, computed once for each model while machine and recipe stay the same."""
        known = self._estimates.get(setting.key)
        if known is None:
            known = {}
            self._estimates = dict([*self._estimates.items(), (setting.key, known)][-_SETTINGS:])
        if spec not in known:
            known[spec] = estimate_memory(spec, setting.workload, setting.place, setting.correction)
        return known[spec]

    def locals(self) -> list[Local]:
        """The models in the home folder, then those in the Hugging Face cache; looked for now and then."""
        if self._locals is None or time.monotonic() > self._locals[0]:
            own = [Local(path, model_name(path), False) for path in local_models(self.home)]
            cached = [Local(path, model_name(path), True) for path in hf_cache_models()]
            self._locals = (time.monotonic() + _LOCALS_S, [*own, *cached])
        return self._locals[1]

    def search(self, words: str) -> None:
        """Ask the hub for models with these words, without waiting for the answer."""
        self.words = words

        def work() -> str:
            self._found[words] = search_hub(words)
            return ""

        if words:
            self._errands.run(f"search {words}", work, str)

    def search_again(self) -> None:
        """Ask once more what could not be answered."""
        errand = self.searched()[0]
        if errand is None or errand.status == "failed":
            self.search(self.words)

    def searched(self) -> tuple[Errand | None, list[Found]]:
        """How the search for the words goes, and what it has found."""
        return self._errands.find(f"search {self.words}"), self._found.get(self.words, [])

    def ask(self, identifier: str, again: bool = False) -> tuple[Errand | None, HubFacts | None]:
        """What the hub says of a model; the first question of a process only starts the asking."""

        def work() -> str:
            repo = hub_repo(identifier, want="answer")
            try:
                spec, problem = spec_of_hub(identifier), ""
            except UserError as refusal:
                spec, problem = None, str(refusal)
            self._facts[identifier] = HubFacts(repo.bytes, repo.gated, spec, problem)
            return ""

        name = f"model {identifier}"
        if again or self._errands.find(name) is None:
            self._errands.run(name, work, str)
        return self._errands.find(name), self._facts.get(identifier)

    def log_in(self, token: str) -> None:
        """Try a token of the hub; its library keeps it, nothing here does."""
        if token:
            self._errands.run("login", lambda: log_in(token), str)

    def login(self) -> Errand | None:
        """How the last login went."""
        return self._errands.find("login")
