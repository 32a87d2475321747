"""The time and energy that a run will take, with how far both may be off; while it trains, what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from core.fit.energy import SPREAD, kilowatt_hours
from core.fit.speed import Speed

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


def run_time(steps: int, tokens: float, speed: Speed, draw: float) -> RunTime:
    """Time and energy of so many tokens at this speed; `draw` in watts."""
    likely = tokens / speed.tokens_per_s
    # two independent doubts: the larger one counts most
    kwh = Range.around(kilowatt_hours(draw, likely), max(SPREAD, speed.spread))
    return RunTime(
        steps, round(tokens), Range.around(likely, speed.spread), kwh, speed.source, speed.measured
    )


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
