"""How long a training takes and what it draws: steps from the recipe, speed from what this machine has shown.

A speed comes from measured runs, from a calibration, or from the class of the hardware; the work of a token
makes one model's speed say something about another's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from core.base.home import Home
from core.fit.calibration import read_calibration
from core.fit.learned import Measured, median, read_measured
from core.fit.training import Training
from core.machine import Gpu, Hardware
from core.methods.method import active_share
from core.recipe import Recipe

# ----- steps, as the Trainer counts them


def count_steps(recipe: Recipe, rows: int) -> int:
    """Optimizer steps of a run that trains on `rows` rows."""
    if recipe.max_steps is not None:
        return recipe.max_steps
    return math.ceil(recipe.epochs * math.ceil(rows / recipe.effective_batch))


# ----- the work of one token

# operations of one pass through a weight, for one token: a multiplication and an addition
_A_PASS = 2
# bytes moved for one packed weight in one pass: read, written in 16 bits, and read again
_MOVED_PACKED = 0.5 + 2 + 2
# operations that a card does in the time it moves a byte: RTX 4090 about 80 TFLOP/s of training over
# 1,008 GB/s; other cards are within a factor of two of it
_OPERATIONS_A_BYTE = 80
# 4-bit weights on a CPU: 70 tokens a second and core without, 29 with (SmolLM2 135M, LoRA, measured)
_UNPACKING_ON_A_CPU = 70 / 29


def operations_per_token(work: Training) -> float:
    """Floating-point operations a token of the data, or as many as could be done in the time.

    The frozen weights take a forward pass and a backward pass to their inputs, with checkpointing one more
    forward pass; what is trained also one to its weights. (2 operations a weight, a token and a pass: Kaplan
    et al., arXiv 2001.08361, section 2.1.) Tokens that a method puts before each row pass through, too.
    """
    passes = 2 if work.checkpointing == "none" else 3
    one_pass = _A_PASS * work.spec.active + _attention(work)
    if work.place.gpu is None:
        one_pass *= _UNPACKING_ON_A_CPU if work.packed else 1.0
    else:
        one_pass += _moving(work)
    if work.method.trains_everything:
        return passes * one_pass + _A_PASS * work.spec.active
    # text does not pass through what looks and listens, nor through all experts
    text = replace(work.spec, vision=())
    adapter = 3 * _A_PASS * work.method.parameters(text, work.recipe) * active_share(text)
    return (passes * one_pass + adapter) * work.tokens / work.budget


def _attention(work: Training) -> float:
    """Scores and their sums over half of the row (causal), both products: operations a token and pass."""
    return 2 * _A_PASS * work.spec.layers * work.spec.heads * work.spec.head_dim * work.length / 2


def _moving(work: Training) -> float:
    """Operations a card could do while it moves the weights of one pass, shared by the tokens at once."""
    bytes_a_weight = _MOVED_PACKED if work.packed else work.weight_bits / 8
    return work.spec.parameters * bytes_a_weight * _OPERATIONS_A_BYTE / max(work.tokens, 1)


# ----- operations a second, before anything was measured

# measured: LoRA in float32, SmolLM2 135M, 114 tokens/s on two cores of a server, 4 operations a weight
A_CORE = 114 * 135e6 * 4 / 2
# Peak of 16-bit tensor operations with 32-bit sums over board power, TFLOP/s a watt, of one card each, from
# the makers' data sheets: V100 125/300, RTX 2080 Ti 54/250, A100 312/400, RTX 3090 71/350, RTX 4090 165/450,
# H100 989/700, RTX 5090 209/575, B200 2250/1000; RX 7900 XTX 123/355, RX 9070 XT 195/304, Arc A770 138/225.
_BY_CAPABILITY = {
    (7, 0): 0.42,
    (7, 5): 0.22,
    (8, 0): 0.78,
    (8, 6): 0.20,
    (8, 9): 0.37,
    (9, 0): 1.41,
    (10, 0): 2.25,
    (12, 0): 0.36,
}
_BY_VENDOR = {"amd": 0.35, "intel": 0.6, "apple": 0.25}
# the share of it that LoRA training reaches, our guess: 35 % with CUDA, 15 % elsewhere
_REACHED = {"nvidia": 0.35}
_REACHED_ELSEWHERE = 0.15
# board power where the card is not known, watts: a middle-class card of its kind
_USUAL_POWER = {"desktop": 170, "laptop": 90, "apple": 40}
_TERA = 1e12


def _card_rate(gpu: Gpu) -> float:
    """Operations a second that a card of this class reaches; may be wrong by a factor of 3."""
    reached = _REACHED.get(gpu.vendor, _REACHED_ELSEWHERE)
    return _peak_a_watt(gpu) * _card_power(gpu) * reached * _TERA


def _card_power(gpu: Gpu) -> float:
    """Board power in watts: the card's own limit, else what is usual for its kind."""
    return gpu.power or _USUAL_POWER[_kind(gpu)]


def _kind(gpu: Gpu) -> str:
    return "apple" if gpu.vendor == "apple" else "laptop" if gpu.laptop else "desktop"


def _peak_a_watt(gpu: Gpu) -> float:
    """TFLOP/s a watt, from the newest known compute capability that is not newer than the card's."""
    if gpu.vendor != "nvidia" or gpu.capability is None:
        return _BY_VENDOR.get(gpu.vendor, min(_BY_CAPABILITY.values()))
    levels = [level for level in _BY_CAPABILITY if level <= gpu.capability]
    return _BY_CAPABILITY[max(levels, default=min(_BY_CAPABILITY))]


# ----- tokens a second

# how far each kind of number may be off, as a factor: the same model again; another model on the same
# machine; a short measurement of its arithmetic; a guess from the class of the hardware
AGAIN, ANOTHER, CALIBRATED, GUESSED = 1.25, 1.6, 1.6, 3.0
_RUNS = 8
# small models leave a machine waiting for Python: they say nothing of much larger ones
_LIKE_SIZE = 8


@dataclass(frozen=True)
class Speed:
    """Tokens a second, and where the number comes from, as the end of a sentence.

    `spread` is the factor by which it may be off in both directions.
    """

    tokens_per_s: float
    source: str
    measured: bool
    spread: float = GUESSED


def speed_here(home: Home, work: Training, hardware: Hardware) -> Speed:
    """The best number that there is for this training on its place; `hardware` is the machine around it."""
    operations = operations_per_token(work)
    runs = [run for run in read_measured(home) if run.card == work.place.name and run.tokens_per_s > 0]
    same = [run for run in runs if _same(run, work)]
    if same:
        rate = same[-1].tokens_per_s
        return Speed(rate, f"as fast as {same[-1].run}, {rate:,.0f} tokens/s", True, AGAIN)
    rates = [(run.work, 1.0) for run in runs if run.work > 0 and _alike(run, work)][-_RUNS:]
    if rates:
        rate = median(rates) / operations
        return Speed(rate, f"as other models did on this machine, {_short(rate)} tokens/s", True, ANOTHER)
    measured = read_calibration(home, work.place)
    if measured is not None:
        rate = measured / operations
        source = f"from a short measurement of this machine, {_short(rate)} tokens/s"
        return Speed(rate, source, True, CALIBRATED)
    return _guess(operations, work.place.gpu, hardware)


def _guess(operations: float, gpu: Gpu | None, hardware: Hardware) -> Speed:
    """What such hardware does."""
    if gpu is None:
        cores = f"{hardware.cores} CPU core{'s' if hardware.cores != 1 else ''}"
        rate, what = A_CORE * hardware.cores / operations, cores
    else:
        rate, what = _card_rate(gpu) / operations, gpu.name
    return Speed(rate, f"a rough {_short(rate)} tokens/s for {what}", False, GUESSED)


def _alike(run: Measured, work: Training) -> bool:
    """Of a size that keeps the machine as busy."""
    return 1 / _LIKE_SIZE <= run.parameters / max(work.spec.parameters, 1) <= _LIKE_SIZE


def _same(run: Measured, work: Training) -> bool:
    recipe = work.recipe
    return (run.model, run.parameters, run.quantization, run.checkpointing, run.backend) == (
        work.spec.name,
        work.spec.parameters,
        recipe.quantization,
        recipe.checkpointing,
        recipe.engine,
    )


def _short(number: float) -> str:
    """With no more digits than it is worth."""
    return f"{float(f'{number:.2g}'):,.0f}" if number >= 1 else f"{number:.1g}"


# ----- time and energy

# Our round numbers, in watts: the share of its board power that a card draws on average while it trains;
# the rest of a desktop, a laptop, an Apple machine; a busy CPU core. Power supplies lose a tenth.
_BUSY_SHARE = 0.85
_REST = {"desktop": 80, "laptop": 25, "apple": 15}
_WATTS_A_CORE = 6
_SUPPLY = 1 / 0.9
# the sum may be wrong by this factor
_ENERGY_SPREAD = 1.5
_JOULES_A_KWH = 3_600_000
# held-out measurements and checkpoints come on top of the steps and vary by this much
_SURE = 1.05
# one step says little: the first also waits for caches and kernels
_FIRST_STEP = 2.0


class Range(NamedTuple):
    """What it likely is, and between which bounds."""

    low: float
    likely: float
    high: float

    @classmethod
    def around(cls, likely: float, factor: float) -> Range:
        return cls(likely / factor, likely, likely * factor)


@dataclass(frozen=True)
class RunTime:
    """What a run takes: steps, tokens, seconds of training, kWh from the socket; `source` ends a sentence."""

    steps: int
    tokens: int
    seconds: Range
    kwh: Range
    source: str
    measured: bool


def run_time(recipe: Recipe, rows: int, tokens_a_row: float, speed: Speed, draw: float) -> RunTime:
    """Time and energy of a recipe on so many training rows of that mean length; `draw` in watts."""
    steps = count_steps(recipe, rows)
    # the last step of a small data set has fewer rows
    tokens = steps * min(recipe.effective_batch, max(rows, 1)) * tokens_a_row
    likely = tokens / speed.tokens_per_s
    # two independent doubts: the larger one counts most
    kwh = Range.around(draw * likely / _JOULES_A_KWH, max(_ENERGY_SPREAD, speed.spread))
    seconds = Range.around(likely, speed.spread)
    return RunTime(steps, round(tokens), seconds, kwh, speed.source, speed.measured)


def watts(gpu: Gpu | None, cores: int) -> float:
    """Average draw of the whole machine while it trains on this card, or on so many CPU cores."""
    if gpu is None:
        return (_REST["desktop"] + _WATTS_A_CORE * cores) * _SUPPLY
    return (_card_power(gpu) * _BUSY_SHARE + _REST[_kind(gpu)]) * _SUPPLY


def spread_of(step_seconds: Sequence[float]) -> float:
    """By what factor the time that is left may be off, from the seconds of the last steps.

    Two standard errors of their mean: rows differ in length, so steps differ in time.
    """
    number = len(step_seconds)
    if number < 2:
        return _FIRST_STEP
    mean = max(sum(step_seconds) / number, 1e-9)
    variance = sum((taken - mean) ** 2 for taken in step_seconds) / (number - 1)
    return min(_SURE + 2 * (variance / number) ** 0.5 / mean, _FIRST_STEP)
