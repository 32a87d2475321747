"""What `fit` found out, as one object."""

from __future__ import annotations

from dataclasses import dataclass

from core.fit import MemoryEstimate, Place, Workload
from core.fit.data import Data
from core.fit.measured import Correction
from core.fit.run_time import RunTime
from core.fit.search import Step
from core.fit.speed import Speed
from core.models import ModelSpec


@dataclass(frozen=True)
class Fit:
    """Everything that was found out; what is printed and what becomes JSON."""

    spec: ModelSpec
    workload: Workload
    place: Place
    estimate: MemoryEstimate
    correction: Correction
    refusal: str
    notes: tuple[str, ...]
    suggestions: list[Step]
    room: list[Step]
    speed: Speed
    data: Data | None
    time: RunTime | None

    @property
    def verdict(self) -> str:
        """A card that can't train has no room either."""
        return "no" if self.refusal else self.estimate.verdict
