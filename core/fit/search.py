"""Searches the knobs: make a training fit, or use the room that is left for speed.

What costs nothing but speed is tried first, what costs quality last, another model at the very end. Of a
set of changes that fits, every one is then taken back or made milder as far as it still fits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

from core.fit.cost import operations_per_token
from core.fit.levers import FOUR_BITS, FREE, ORDER, ROOM, WITH_A_PRICE, Lengths, Lever, Situation
from core.fit.workload import MemoryEstimate, Place, Workload
from core.models.spec import ModelSpec

# a change that saves less is not worth a line
_WORTH_SAYING = 1 << 20
# a model of the same family is taken if it has at least this share of the largest fitting one's parameters
_FAMILY_SHARE = 0.5
# what a model that the catalogue does not have is taken for
_USUAL_KIND = "instruct"
_RANKING = {"fits": 0, "tight": 1, "no": 2}

Estimate = Callable[[ModelSpec, Workload], MemoryEstimate]


@dataclass(frozen=True)
class Candidate:
    """A model that could be taken instead: `id` as the recipe names it, `kind` is instruct or base."""

    id: str
    title: str
    family: str
    kind: str
    spec: ModelSpec

    def is_called(self, name: str) -> bool:
        """Whether a model's name means this one; a folder leaves out the owner or has -- for the slash."""
        return re.split("/|--", name)[-1].casefold() == self.id.split("/")[-1].casefold()


@dataclass(frozen=True)
class Step:
    """One change on the way. `change` holds knobs of the Recipe; `total` is the peak with it and all before.

    Bytes; `saves` is below zero for what takes memory to gain speed.
    """

    change: dict[str, Any]
    words: str
    total: int
    saves: int


class _Choice(NamedTuple):
    """What was chosen at one lever; `spec` is another model's."""

    change: dict[str, Any]
    words: str
    spec: ModelSpec | None = None


class _Search:
    """One search: the start, and the estimate of the start with some choices made."""

    def __init__(self, spec: ModelSpec, situation: Situation, estimate: Estimate) -> None:
        self.spec = spec
        self.situation = situation
        self.estimate = estimate

    def with_choices(self, choices: Iterable[_Choice]) -> MemoryEstimate:
        spec, changes = self.spec, dict[str, Any]()
        for choice in choices:
            spec = choice.spec or spec
            changes.update(choice.change)
        changes.pop("model", None)
        return self.estimate(spec, replace(self.situation.workload, **changes))

    def options(self, lever: Lever) -> list[_Choice]:
        """The lever's options from the mildest to the strongest."""
        return [
            _Choice(change, lever.words(self.situation, change)) for change in lever.options(self.situation)
        ]

    def strongest(self, levers: Iterable[Lever], chosen: dict[Lever, _Choice]) -> dict[Lever, _Choice]:
        """With the option of every lever that saves most, in their order."""
        chosen = dict(chosen)
        for lever in levers:
            before = self.with_choices(chosen.values()).total
            for option in self.options(lever):
                total = self.with_choices([*chosen.values(), option]).total
                if total < before - _WORTH_SAYING:
                    chosen[lever], before = option, total
        return chosen

    def mildest(self, chosen: dict[Lever, _Choice], model: _Choice | None, goal: str) -> dict[Lever, _Choice]:
        """The same with every choice taken back or made milder as far as it stays at `goal` or better.

        What has a price is taken back first. At a tight goal nothing else is: it takes all that helps.
        """
        chosen = dict(chosen)
        levers = WITH_A_PRICE if goal == "tight" else (*FREE, *WITH_A_PRICE)
        for lever in (lever for lever in reversed(levers) if lever in chosen):
            for option in [None, *self.options(lever)]:
                rest = {key: choice for key, choice in chosen.items() if key is not lever}
                tried = {**rest, lever: option} if option else rest
                if _RANKING[self.verdict(tried, model)] <= _RANKING[goal]:
                    chosen = tried
                    break
        return chosen

    def verdict(self, chosen: dict[Lever, _Choice], model: _Choice | None = None) -> str:
        return self.with_choices(_in_order(chosen, model)).verdict

    def steps(self, choices: list[_Choice]) -> list[Step]:
        """Each with its saving, one after the other."""
        totals = [self.with_choices(choices[:number]).total for number in range(len(choices) + 1)]
        return [
            Step(choice.change, choice.words, after, before - after)
            for choice, before, after in zip(choices, totals, totals[1:])
        ]

    def another_model(self, models: Iterable[Candidate], chosen: list[_Choice]) -> _Choice | None:
        """The largest smaller model that fits with these choices; one of its own family is preferred.

        Where none fits, the largest tight one; where none is even that, the smallest.
        """
        models = list(models)
        own = next((model for model in models if model.is_called(self.spec.name)), None)
        kind = own.kind if own else _USUAL_KIND
        smaller = (model for model in models if model.spec.parameters < self.spec.parameters)
        options = [self._judged(model, chosen) for model in smaller if model.kind == kind]
        if not options:
            return None
        best = min(rank for rank, _ in options)
        fitting = sorted((model for rank, model in options if rank == best), key=lambda m: -m.spec.parameters)
        if best == _RANKING["no"]:
            return _model_choice(fitting[-1])
        enough = fitting[0].spec.parameters * _FAMILY_SHARE
        kin = (model for model in fitting if own and model.family == own.family)
        return _model_choice(next((model for model in kin if model.spec.parameters >= enough), fitting[0]))

    def _judged(self, model: Candidate, chosen: list[_Choice]) -> tuple[int, Candidate]:
        return _RANKING[self.with_choices([*chosen, _model_choice(model)]).verdict], model


def make_it_fit(
    spec: ModelSpec,
    workload: Workload,
    place: Place,
    estimate: Estimate,
    lengths: Lengths | None = None,
    models: Iterable[Candidate] = (),
) -> list[Step]:
    """The least that makes it fit, in the order of the levers; empty where it fits, or nothing helps.

    Quality is given for a run that fits, not for one that is tight anyway, and another model is only taken
    where nothing else runs at all. Where nothing makes it fit, the steps are those that save most. `models`
    is only read when it is needed.
    """
    search = _Search(spec, Situation(spec, workload, place, lengths), estimate)
    if search.verdict({}) == "fits":
        return []
    free = search.strongest(FREE, {})
    everything = free if search.verdict(free) == "fits" else search.strongest(WITH_A_PRICE, free)
    model = None
    if search.verdict(everything) == "tight" and search.verdict(free) == "tight":
        everything = free
    if search.verdict(everything) == "no":
        model = search.another_model(models, _in_order(everything))
    goal = search.verdict(everything, model)
    chosen = everything if goal == "no" else search.mildest(everything, model, goal)
    return search.steps(_in_order(chosen, model))


def four_bits_help(spec: ModelSpec, workload: Workload, place: Place, estimate: Estimate) -> bool:
    """Whether a base in 4 bits would take less: not where nothing unpacks it, nor where reading the model is
    the peak."""
    search = _Search(spec, Situation(spec, workload, place, None), estimate)
    return bool(search.strongest([FOUR_BITS], {}))


def _in_order(chosen: dict[Lever, _Choice], model: _Choice | None = None) -> list[_Choice]:
    """As they are shown, another model at the end."""
    return [*(chosen[lever] for lever in ORDER if lever in chosen), *([model] if model else [])]


def use_the_room(spec: ModelSpec, workload: Workload, place: Place, estimate: Estimate) -> list[Step]:
    """What makes it faster and still fits: of all combinations the one with the least work a token.

    Empty where nothing is faster, or where it does not fit as it is.
    """
    search = _Search(spec, Situation(spec, workload, place, None), estimate)
    if search.with_choices([]).verdict != "fits":
        return []

    def work(choices: Iterable[_Choice]) -> float:
        changes = {key: value for choice in choices for key, value in choice.change.items()}
        return operations_per_token(spec, replace(workload, **changes), place.gpu)

    combinations = product(*([None, *search.options(lever)] for lever in ROOM))
    tried = [[choice for choice in combination if choice is not None] for combination in combinations]
    fitting = [choices for choices in tried if search.with_choices(choices).verdict == "fits"]
    best = min(fitting, key=lambda choices: (round(work(choices) / work([]), 2), len(choices)))
    return search.steps(best)


def _model_choice(model: Candidate) -> _Choice:
    size = f"{model.spec.parameters / 1e9:.1f} B"
    return _Choice({"model": model.id}, f"A smaller model: {model.title} ({size} parameters)", model.spec)
