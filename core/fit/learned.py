"""Peaks that were measured at the end of runs, kept beside their estimates; they correct later estimates.

`home/measured.json` holds one entry a run. The correction is the median of measured over estimated of the
newest runs on the same kind of place, large ones weighing more, and within limits: one odd run can't lead the
others astray.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from core.base.errors import UserError
from core.base.files import read_json, write_json
from core.base.home import Home
from core.fit.training import Place

# what a machine can do is well known after so many runs, and older ones may be from another driver
_RUNS = 20
_KEPT = 200
# a formula that is off by more than this was asked the wrong question: a correction goes no further
LOWEST, HIGHEST = 0.75, 1.5
_PATIENCE_S = 10


class Measured(BaseModel):
    """One run's peak beside its estimate, in bytes, and how fast it went.

    `estimated` is without any correction; `measured` is 0 where not every row
    was computed: its longest makes the peak. `work` is the operations a second that its speed comes to.
    """

    model_config = ConfigDict(frozen=True, strict=True, protected_namespaces=())

    run: str
    day: str
    model: str
    parameters: int
    card: str
    quantization: str
    checkpointing: str
    backend: str
    max_length: int
    estimated: int
    measured: int
    tokens_per_s: float = 0.0
    work: float = 0.0

    @property
    def ratio(self) -> float:
        return self.measured / self.estimated

    @property
    def plausible(self) -> bool:
        return self.estimated > 0 and (self.measured > 0 or self.measured == 0 < self.tokens_per_s)


@dataclass(frozen=True)
class Correction:
    """What the sum of an estimate is multiplied by here, and why, as a sentence; 1.0 without any run."""

    factor: float
    runs: int
    reason: str


def read_measured(home: Home) -> list[Measured]:
    """Every noted run, oldest first. What is damaged is left out: it costs a correction, nothing else."""
    file: Any = None
    with suppress(UserError, OSError):
        file = read_json(home.root / "measured.json", {})
    entries = file.get("runs") if isinstance(file, dict) else None
    runs = []
    for entry in entries if isinstance(entries, list) else ():
        with suppress(ValidationError):
            runs.append(Measured.model_validate(entry))
    return [run for run in runs if run.plausible]


def note_measured(home: Home, entry: Measured) -> None:
    """Keep one run's peak; a resumed run replaces its own entry."""
    if not entry.plausible:
        return
    with _alone(home):
        _write(home, [*(run for run in read_measured(home) if run.run != entry.run), entry])


def reset_measured(home: Home, place: Place | None = None) -> None:
    """Forget the measured runs of one kind of place, or of all: later estimates are the formula's own."""
    with _alone(home):
        _write(home, [run for run in read_measured(home) if place is not None and run.card != place.name])


def correction(home: Home, place: Place) -> Correction:
    """What the measured runs on such a place say about the formula."""
    here = [run for run in read_measured(home) if run.card == place.name and run.measured][-_RUNS:]
    if not here:
        return Correction(1.0, 0, "No run was measured on this machine yet.")
    middle = median([(run.ratio, run.estimated) for run in here])
    factor = min(max(middle, LOWEST), HIGHEST)
    runs = "the one run measured" if len(here) == 1 else f"the last {len(here)} runs measured (their median)"
    less = "more" if factor >= 1 else "less"
    where = f"the {place.name}" if place.gpu else "this CPU"
    return Correction(
        factor, len(here), f"{abs(factor - 1):.0%} {less} than the formula says: {runs} on {where}."
    )


def median(weighted: Sequence[tuple[float, float]]) -> float:
    """The middle of (value, weight) pairs: half of all weight lies on values up to it.

    Large runs weigh more: what libraries take beside the model says little of larger ones.
    """
    half, weight_so_far = sum(weight for _, weight in weighted) / 2, 0.0
    ordered = sorted(weighted)
    for value, weight in ordered:
        weight_so_far += weight
        if weight_so_far >= half:
            return value
    return ordered[-1][0]


def _alone(home: Home) -> AbstractContextManager[Any]:
    """Only one process changes the file at a time."""
    return FileLock(home.root / ".measured.lock", timeout=_PATIENCE_S)


def _write(home: Home, entries: list[Measured]) -> None:
    write_json(home.root / "measured.json", {"runs": [entry.model_dump() for entry in entries[-_KEPT:]]})
