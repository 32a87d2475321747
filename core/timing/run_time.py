"""The time and energy that a run will take, with how far both may be off; while it trains, what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from core.timing.energy import SPREAD, kilowatt_hours
from core.timing.speed import Speed

# held-out measurements and checkpoints come on top of the steps and vary by this much
_SURE = 1.05


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


def time_left(steps_left: int, step_seconds: Sequence[float]) -> Range | None:
    """Seconds that the rest of a run takes, from the seconds of its last steps; None before the first.

    The bounds are two standard errors of the mean; rows of a step differ in length, so steps differ in time.
    """
    if not step_seconds or steps_left <= 0:
        return Range(0.0, 0.0, 0.0) if steps_left <= 0 else None
    number = len(step_seconds)
    mean = sum(step_seconds) / number
    doubt = _SURE
    if number > 1 and mean > 0:
        variance = sum((taken - mean) ** 2 for taken in step_seconds) / (number - 1)
        doubt += 2 * (variance / number) ** 0.5 / mean
    return Range.around(mean * steps_left, doubt)
