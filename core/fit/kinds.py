"""What `fit` found out, as one object."""

from __future__ import annotations

from dataclasses import dataclass

from core.fit.data import Data
from core.memory import MemoryEstimate, Place, Workload
from core.memory.measured import Correction
from core.memory.search import Step
from core.models import ModelSpec
from core.timing.run_time import RunTime
from core.timing.speed import Speed


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
