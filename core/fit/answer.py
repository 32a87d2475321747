"""The one join of recipe, shapes, machine and data: what page, commands and trainer ask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from core.base.home import Home
from core.fit.learned import Correction, Measured, correction, note_measured
from core.fit.search import Candidate, FitStep, four_bits_help, make_it_fit, use_the_room
from core.fit.speed import RunTime, Speed, operations_per_token, run_time, speed_here, watts
from core.fit.terms import MemoryEstimate, estimate_memory
from core.fit.training import Lengths, Place, Training
from core.machine import Hardware
from core.models import ModelSpec
from core.recipe import Recipe


@dataclass(frozen=True)
class Data:
    """Rows to train on, their mean length within the maximum, and their lengths; all in tokens.

    `split` says how many rows are trained and held out, `note` what is not exact about them.
    """

    rows: int
    tokens_a_row: float
    lengths: Lengths
    split: str = ""
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        p95, p99, longest = self.lengths
        mean = round(self.tokens_a_row, 1)
        lengths = {"mean": mean, "p95": p95, "p99": p99, "max": longest}
        return {"rows": self.rows, "split": self.split, **lengths, "note": self.note}


@dataclass(frozen=True)
class Fit:
    """What a recipe comes to on one model and place, with what runs on this machine have taught.

    `recipe` is as asked, `work` what is done here; `lengths` are those of the data, if known.
    """

    home: Home
    recipe: Recipe
    work: Training
    lengths: Lengths | None
    correction: Correction
    estimate: MemoryEstimate

    @classmethod
    def of(
        cls, home: Home, recipe: Recipe, spec: ModelSpec, place: Place, lengths: Lengths | None = None
    ) -> Fit:
        learned = correction(home, place)
        longest = lengths.longest if lengths else None
        work = Training.of(recipe, spec, place, longest)
        estimate = estimate_memory(recipe, spec, place, longest, learned.factor)
        return cls(home, recipe, work, lengths, learned, estimate)

    @property
    def spec(self) -> ModelSpec:
        return self.work.spec

    @property
    def place(self) -> Place:
        return self.work.place

    def make_it_fit(self, models: Iterable[Candidate] = ()) -> list[FitStep]:
        """The least changes that make it fit, those that cost quality last; `models` are the last resort."""
        factor = self.correction.factor
        return make_it_fit(self.recipe, self.spec, self.place, self.lengths, models, factor)

    def use_the_room(self) -> list[FitStep]:
        """Changes that make it faster and still fit; empty where nothing does."""
        return use_the_room(self.recipe, self.spec, self.place, self.lengths, self.correction.factor)

    def four_bits_help(self) -> bool:
        """Whether a base in 4 bits would take less here, as `make_it_fit` sees it."""
        return four_bits_help(self.recipe, self.spec, self.place, self.lengths)

    def speed(self, hardware: Hardware) -> Speed:
        """Tokens a second; `hardware` is the machine around the place."""
        return speed_here(self.home, self.work, hardware)

    def time(self, hardware: Hardware, rows: int, tokens_a_row: float) -> RunTime:
        """Steps, tokens, time and energy on so many training rows of that mean length."""
        draw = watts(self.place.gpu, hardware.cores)
        return run_time(self.recipe, rows, tokens_a_row, self.speed(hardware), draw)

    def note(self, run: str, peak: int, tokens_per_s: float) -> None:
        """Keep a run's measured peak and speed beside this estimate: they correct later ones."""
        recipe = self.work.recipe
        entry = Measured(
            run=run,
            day=date.today().isoformat(),
            model=self.spec.name,
            parameters=self.spec.parameters,
            card=self.place.name,
            quantization=recipe.quantization,
            checkpointing=recipe.checkpointing,
            backend=recipe.engine,
            max_length=recipe.max_length,
            estimated=self.estimate.formula,
            measured=peak,
            tokens_per_s=tokens_per_s,
            work=tokens_per_s * operations_per_token(self.work),
        )
        note_measured(self.home, entry)
