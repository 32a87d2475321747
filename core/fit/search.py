"""Searches the knobs: make a training fit, or use the room that is left for speed.

What costs nothing but speed is tried first, what costs quality last, another model at the very end. Of a
set of changes that fits, every one is then taken back or made milder as far as it still fits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from math import isqrt
from typing import Any, NamedTuple

from core.fit.speed import operations_per_token
from core.fit.terms import MemoryEstimate, estimate_memory
from core.fit.training import Lengths, Place, Training, without_targets
from core.methods.settle import WITH_8_BIT
from core.models import ModelSpec, spec_of_config
from core.models.adapter import ALL_LINEAR
from core.models.catalogue import load_catalogue
from core.recipe import Recipe

# a change that saves less is not worth a line
_WORTH_SAYING = 1 << 20
# a model of the same family is taken if it has at least this share of the largest fitting one's parameters
_FAMILY_SHARE = 0.5
# what a model that the catalogue does not have is taken for
_USUAL_KIND = "instruct"
_RANKING = {"fits": 0, "tight": 1, "no": 2}
# lengths are multiples of this many tokens; shorter ones than the shortest leave little to learn from
_ROUND = 64
_SHORTEST = 512
_LOWEST_RANK = 8
# makers whose cards bitsandbytes has 4-bit kernels for
_WITH_4_BIT = (*WITH_8_BIT, "intel")
_CHECKPOINTINGS = ("none", "hf", "unsloth")

Knobs = dict[str, Any]


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


def smaller_models() -> Iterator[Candidate]:
    """The catalogue's models, as what could be taken instead; read when somebody asks for the first."""
    for model in load_catalogue():
        spec = spec_of_config(model.config, model.id)
        yield Candidate(model.id, model.title, model.family, model.kind, spec)


@dataclass(frozen=True)
class FitStep:
    """One change on the way. `change` holds knobs of the Recipe; `total` is the peak with it and all before.

    Bytes; `saves` is below zero for what takes memory to gain speed.
    """

    change: Knobs
    words: str
    total: int
    saves: int


def changes_of(steps: Iterable[FitStep]) -> Knobs:
    """The recipe's knobs after all steps."""
    return {knob: value for step in steps for knob, value in step.change.items()}


# ----- the levers: what each knob can be turned to, and what that means in words


@dataclass(frozen=True)
class _Start:
    """Where a search starts: the recipe as asked, what it comes to here, and the data's lengths if known."""

    recipe: Recipe
    work: Training
    lengths: Lengths | None

    def on(self, vendors: tuple[str, ...]) -> bool:
        gpu = self.work.place.gpu
        return gpu is not None and gpu.vendor in vendors


@dataclass(frozen=True)
class _Lever:
    """One knob (or two that belong together): its options, mildest first, and one of them in words."""

    options: Callable[[_Start], list[Knobs]]
    words: Callable[[_Start, Knobs], str]


def _says(sentence: str) -> Callable[[_Start, Knobs], str]:
    return lambda at, change: sentence.format(at=at.recipe, **change)


def _if(possible: bool, **change: Any) -> list[Knobs]:
    return [change] if possible else []


def _more_checkpointing(at: _Start) -> list[Knobs]:
    now = _CHECKPOINTINGS.index(at.work.recipe.checkpointing)
    # Unsloth's moves activations to the host's memory: on a CPU they are there already
    offloads = at.work.place.gpu is not None and at.work.engine == "unsloth"
    return [{"checkpointing": way} for way in _CHECKPOINTINGS[now + 1 :] if way != "unsloth" or offloads]


def _less_checkpointing(at: _Start) -> list[Knobs]:
    now = _CHECKPOINTINGS.index(at.work.recipe.checkpointing)
    return [{"checkpointing": way} for way in reversed(_CHECKPOINTINGS[:now])]


def _checkpointing_words(at: _Start, change: Knobs) -> str:
    way = change["checkpointing"]
    if way == "none":
        return "No gradient checkpointing: nothing is computed twice"
    if at.work.recipe.checkpointing == "none":
        whose = "Unsloth's gradient checkpointing" if way == "unsloth" else "Gradient checkpointing"
        return f"{whose}: activations are computed again instead of kept, slower by up to half"
    if way == "unsloth":
        return "Unsloth's gradient checkpointing: what is kept waits in the host's memory"
    return "Gradient checkpointing without the detour through the host's memory"


def _batches(recipe: Recipe) -> list[Knobs]:
    """Every split of the same effective batch, smallest micro-batch first."""
    rows = recipe.effective_batch
    lower = [n for n in range(1, isqrt(rows) + 1) if rows % n == 0]
    sizes = sorted({*lower, *(rows // n for n in lower)})
    return [{"micro_batch": n, "accumulate": rows // n} for n in sizes]


def _smaller_batches(at: _Start) -> list[Knobs]:
    smaller = (change for change in _batches(at.recipe) if change["micro_batch"] < at.recipe.micro_batch)
    return list(smaller)[::-1]


def _larger_batches(at: _Start) -> list[Knobs]:
    # a CPU is busy with one row already
    if at.work.place.gpu is None:
        return []
    return [change for change in _batches(at.recipe) if change["micro_batch"] > at.recipe.micro_batch]


def _batch_words(at: _Start, change: Knobs) -> str:
    return (
        f"Micro-batch {at.recipe.micro_batch} → {change['micro_batch']}, accumulated over "
        f"{change['accumulate']}: still {at.recipe.effective_batch} rows a step"
    )


def _optimizer(at: _Start) -> list[Knobs]:
    names = ["adamw_8bit", "paged_adamw_8bit"]
    now = at.work.recipe.optimizer
    smaller = names[names.index(now) + 1 :] if now in names else names
    return [{"optimizer": name} for name in smaller] if at.on(WITH_8_BIT) else []


def _optimizer_words(at: _Start, change: Knobs) -> str:
    if change["optimizer"].startswith("paged"):
        return "Paged 8-bit optimizer: its state can move to the host's memory"
    return "8-bit optimizer: its state takes a quarter"


def _to_the_longest(at: _Start) -> list[Knobs]:
    length = _rounded(at.lengths.longest) if at.lengths else at.recipe.max_length
    return _if(length < at.recipe.max_length, max_length=length)


def _shorter(at: _Start) -> list[Knobs]:
    if at.lengths is None:
        return []
    now = min(at.recipe.max_length, _rounded(at.lengths.longest))
    shorter = dict.fromkeys(_rounded(length) for length in (at.lengths.p99, at.lengths.p95))
    return [{"max_length": length} for length in shorter if length < now]


def _shorter_words(at: _Start, change: Knobs) -> str:
    whole = at.lengths is None or change["max_length"] >= at.lengths.p99
    return f"{_length_words(at, change)}: {99 if whole else 95}% of your rows stay whole"


def _halved(at: _Start) -> list[Knobs]:
    now = at.recipe.max_length
    shorter = [now >> times for times in range(1, now.bit_length())] if at.lengths is None else []
    return [{"max_length": length} for length in shorter if length >= _SHORTEST]


def _length_words(at: _Start, change: Knobs) -> str:
    return f"Maximum length {at.recipe.max_length:,} → {change['max_length']:,}"


def _four_bits(at: _Start) -> list[Knobs]:
    possible = at.work.place.gpu is None or at.on(_WITH_4_BIT)
    packed = _if(possible and not at.work.packed, quantization="nf4")
    if at.work.method.trains_everything:
        return [{"method": "lora"}, *({"method": "lora", **change} for change in packed)]
    return packed


def _four_bits_words(at: _Start, change: Knobs) -> str:
    if "method" not in change:
        return "The frozen base in 4 bits" + (" (QLoRA)" if at.recipe.method == "lora" else "")
    whose = "in 4 bits (QLoRA)" if "quantization" in change else "(LoRA)"
    return f"An adapter beside the frozen base {whose}, instead of training all weights"


def _rank(at: _Start) -> list[Knobs]:
    """Smaller ranks; the adapter's strength is kept, so alpha follows."""
    now = at.recipe.rank
    ranks = [rank for times in range(1, now.bit_length()) if (rank := now >> times) >= _LOWEST_RANK]
    return [{"rank": rank, "alpha": max(1, round(at.recipe.alpha * rank / now))} for rank in ranks]


def _rounded(length: int) -> int:
    """Up to the next multiple of 64."""
    return max(_ROUND, -(-length // _ROUND) * _ROUND)


_CHECKPOINTING = _Lever(_more_checkpointing, _checkpointing_words)
_SMALLER_BATCHES = _Lever(_smaller_batches, _batch_words)
_OPTIMIZER = _Lever(_optimizer, _optimizer_words)
_ATTENTION = _Lever(
    lambda at: _if(at.recipe.attention == "eager", attention="auto"),
    _says("Fused attention: no table of tokens × tokens is kept"),
)
_DOUBLE = _Lever(
    lambda at: _if(at.work.packed and not at.recipe.double_quantization, double_quantization=True),
    _says("Double quantization: 0.4 bits less a weight"),
)
_TO_THE_LONGEST = _Lever(
    _to_the_longest,
    lambda at, change: f"{_length_words(at, change)}: still longer than your longest row, nothing is cut",
)
_FOUR_BITS = _Lever(_four_bits, _four_bits_words)
_SHORTER = _Lever(_shorter, _shorter_words)
_OFFLOAD = _Lever(
    lambda at: _if(at.on(WITH_8_BIT) and not at.recipe.offload_embedding, offload_embedding=True),
    _says("The token embedding waits in the computer's memory"),
)
_HALVED = _Lever(_halved, lambda at, change: f"{_length_words(at, change)}: longer rows are cut off there")
_RANK = _Lever(_rank, _says("Rank {at.rank} → {rank}: a smaller adapter, which can learn less"))

# nothing is lost but time
_FREE = (_CHECKPOINTING, _SMALLER_BATCHES, _OPTIMIZER, _ATTENTION, _DOUBLE, _TO_THE_LONGEST, _OFFLOAD)
# each costs a little quality, the first the least: 4-bit bases train as well as 16-bit ones
# (QLoRA, arXiv 2305.14314, section 4)
_WITH_A_PRICE = (_FOUR_BITS, _SHORTER, _HALVED, _RANK)
# as they are shown, what costs quality last
_ORDER = (*_FREE[:-1], _FOUR_BITS, _SHORTER, _OFFLOAD, _HALVED, _RANK)
# the other way, for speed
_ROOM = (
    _Lever(
        lambda at: _if(at.recipe.offload_embedding, offload_embedding=False),
        _says("The token embedding stays on the card"),
    ),
    _Lever(_less_checkpointing, _checkpointing_words),
    _Lever(_larger_batches, _batch_words),
    _Lever(
        # a model that is stored in 4 bits has no others
        lambda at: _if(at.work.packed and at.work.spec.stored != "nf4", quantization="none"),
        _says("The frozen base unquantized (LoRA): no weight is unpacked while it trains"),
    ),
)


# ----- the search


class _Choice(NamedTuple):
    """What was chosen at one lever; `spec` is another model's."""

    change: Knobs
    words: str
    spec: ModelSpec | None = None


_Chosen = dict[_Lever, _Choice]


class _Search:
    """One search: the start, and the estimate of the start with some choices made."""

    def __init__(
        self, recipe: Recipe, spec: ModelSpec, place: Place, lengths: Lengths | None, factor: float
    ) -> None:
        self.recipe, self.spec, self.place, self.factor = recipe, spec, place, factor
        self.longest = lengths.longest if lengths else None
        self.start = _Start(recipe, Training.of(recipe, spec, place, self.longest), lengths)

    def with_choices(self, choices: Iterable[_Choice]) -> MemoryEstimate:
        spec, changes = self.spec, Knobs()
        for choice in choices:
            spec = choice.spec or spec
            changes.update(choice.change)
        recipe = self.recipe.model_copy(update=changes)
        return estimate_memory(recipe, spec, self.place, self.longest, self.factor)

    def options(self, lever: _Lever) -> list[_Choice]:
        """The lever's options from the mildest to the strongest."""
        return [_Choice(change, lever.words(self.start, change)) for change in lever.options(self.start)]

    def strongest(self, levers: Iterable[_Lever], chosen: _Chosen) -> _Chosen:
        """With the option of every lever that saves most, in their order."""
        chosen = dict(chosen)
        for lever in levers:
            before = self.with_choices(chosen.values()).total
            for option in self.options(lever):
                total = self.with_choices([*chosen.values(), option]).total
                if total < before - _WORTH_SAYING:
                    chosen[lever], before = option, total
        return chosen

    def mildest(self, chosen: _Chosen, model: _Choice | None, goal: str) -> _Chosen:
        """The same with every choice taken back or made milder as far as it stays at `goal` or better.

        What has a price is taken back first. At a tight goal nothing else is: it takes all that helps.
        """
        chosen = dict(chosen)
        levers = _WITH_A_PRICE if goal == "tight" else (*_FREE, *_WITH_A_PRICE)
        for lever in (lever for lever in reversed(levers) if lever in chosen):
            for option in [None, *self.options(lever)]:
                rest = {key: choice for key, choice in chosen.items() if key is not lever}
                milder = {**rest, lever: option} if option else rest
                if _RANKING[self.verdict(milder, model)] <= _RANKING[goal]:
                    chosen = milder
                    break
        return chosen

    def verdict(self, chosen: _Chosen, model: _Choice | None = None) -> str:
        return self.with_choices(_in_order(chosen, model)).verdict

    def steps(self, choices: list[_Choice]) -> list[FitStep]:
        """Each with its saving, one after the other."""
        totals = [self.with_choices(choices[:number]).total for number in range(len(choices) + 1)]
        return [
            FitStep(choice.change, choice.words, after, before - after)
            for choice, before, after in zip(choices, totals, totals[1:])
        ]

    def model_choice(self, model: Candidate) -> _Choice:
        """Another model; where it has none of the target modules, all of its linear layers are adapted."""
        change: Knobs = {"model": model.id}
        if without_targets(self.recipe, model.spec):
            change["target_modules"] = ALL_LINEAR
        size = f"{model.spec.parameters / 1e9:.1f} B"
        return _Choice(change, f"A smaller model: {model.title} ({size} parameters)", model.spec)

    def another_model(self, models: Iterable[Candidate], chosen: list[_Choice]) -> _Choice | None:
        """The largest smaller model that fits with these choices; one of its own family is preferred.

        Where none fits, the largest tight one; where none is even that, the smallest.
        """
        models = list(models)
        own = next((model for model in models if model.is_called(self.spec.name)), None)
        kind = own.kind if own else _USUAL_KIND
        smaller = (model for model in models if model.spec.parameters < self.spec.parameters)
        options = [
            (_RANKING[self.with_choices([*chosen, self.model_choice(model)]).verdict], model)
            for model in smaller
            if model.kind == kind
        ]
        if not options:
            return None
        best = min(rank for rank, _ in options)
        fitting = sorted((model for rank, model in options if rank == best), key=lambda m: -m.spec.parameters)
        if best == _RANKING["no"]:
            return self.model_choice(fitting[-1])
        enough = fitting[0].spec.parameters * _FAMILY_SHARE
        kin = (model for model in fitting if own and model.family == own.family)
        return self.model_choice(
            next((model for model in kin if model.spec.parameters >= enough), fitting[0])
        )


def make_it_fit(
    recipe: Recipe,
    spec: ModelSpec,
    place: Place,
    lengths: Lengths | None = None,
    models: Iterable[Candidate] = (),
    factor: float = 1.0,
) -> list[FitStep]:
    """The least that makes it fit, in the order of the levers; empty where it fits, or nothing helps.

    Quality is given for a run that fits, not for one that is tight anyway, and another model is only taken
    where nothing else runs at all. Where nothing makes it fit, the steps are those that save most. `models`
    is only read when it is needed; `factor` is the correction of this machine.
    """
    search = _Search(recipe, spec, place, lengths, factor)
    if search.verdict({}) == "fits":
        return []
    free = search.strongest(_FREE, {})
    everything = free if search.verdict(free) == "fits" else search.strongest(_WITH_A_PRICE, free)
    model = None
    if search.verdict(everything) == "tight" and search.verdict(free) == "tight":
        everything = free
    if search.verdict(everything) == "no":
        model = search.another_model(models, _in_order(everything))
    goal = search.verdict(everything, model)
    chosen = everything if goal == "no" else search.mildest(everything, model, goal)
    return search.steps(_in_order(chosen, model))


def four_bits_help(recipe: Recipe, spec: ModelSpec, place: Place, lengths: Lengths | None = None) -> bool:
    """Whether a base in 4 bits would take less: not where nothing unpacks it, nor where reading the model is
    the peak."""
    return bool(_Search(recipe, spec, place, lengths, 1.0).strongest([_FOUR_BITS], {}))


def use_the_room(
    recipe: Recipe, spec: ModelSpec, place: Place, lengths: Lengths | None = None, factor: float = 1.0
) -> list[FitStep]:
    """What makes it faster and still fits: of all combinations the one with the least work a token.

    Empty where nothing is faster, or where it does not fit as it is.
    """
    search = _Search(recipe, spec, place, lengths, factor)
    if search.with_choices([]).verdict != "fits":
        return []

    def work(choices: Iterable[_Choice]) -> float:
        changes = {knob: value for choice in choices for knob, value in choice.change.items()}
        return operations_per_token(
            Training.of(recipe.model_copy(update=changes), spec, place, search.longest)
        )

    combinations = product(*([None, *search.options(lever)] for lever in _ROOM))
    candidates = [[choice for choice in choices if choice is not None] for choices in combinations]
    fitting = [choices for choices in candidates if search.with_choices(choices).verdict == "fits"]
    best = min(fitting, key=lambda choices: (round(work(choices) / work([]), 2), len(choices)))
    return search.steps(best)


def _in_order(chosen: _Chosen, model: _Choice | None = None) -> list[_Choice]:
    """As they are shown, another model at the end."""
    return [*(chosen[lever] for lever in _ORDER if lever in chosen), *([model] if model else [])]
