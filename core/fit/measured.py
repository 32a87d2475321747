"""Peaks that were measured at the end of runs, kept beside their estimates; they correct later estimates.

`home/measured.json` holds one entry a run. The correction is the median of measured over estimated of the
newest runs on the same kind of place, large ones weighing more, and within limits: one odd run can't lead the
others astray.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, fields
from typing import Any

from core.base.errors import UserError
from core.base.files import read_json, write_json
from core.base.home import Home
from core.fit.workload import Place

CPU = "CPU"
# what a machine can do is well known after so many runs, and older ones may be from another driver
_ASKED = 20
_KEPT = 200
# a formula that is off by more than this was asked the wrong question: a correction goes no further
LOWEST, HIGHEST = 0.75, 1.5
_PATIENCE_S = 10


@dataclass(frozen=True)
class Measured:
    """One run's peak beside its estimate, in bytes, and how fast it went.

    `estimated` is without any correction. `work` is the operations a second that its speed comes to.
    """

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
        return self.estimated > 0 and self.measured > 0


@dataclass(frozen=True)
class Correction:
    """What the sum of an estimate is multiplied by here, and why, as a sentence; 1.0 without any run."""

    factor: float
    runs: int
    reason: str


def place_name(place: Place) -> str:
    """The kind of place that runs are compared on: the card's name, or the CPU."""
    return place.gpu.name if place.gpu else CPU


def read_measured(home: Home) -> list[Measured]:
    """Every noted run, oldest first. What is damaged is left out: it costs a correction, nothing else."""
    found: Any = None
    with suppress(UserError, OSError):
        found = read_json(home.root / "measured.json", {})
    entries = found.get("runs") if isinstance(found, dict) else None
    read = (_entry(value) for value in entries) if isinstance(entries, list) else ()
    return [entry for entry in read if entry is not None and entry.plausible]


def note_measured(home: Home, entry: Measured) -> None:
    """Keep one run's peak; a resumed run replaces its own entry."""
    if not entry.plausible:
        return
    with _alone(home):
        others = [known for known in read_measured(home) if known.run != entry.run]
        _write(home, [*others, entry])


def reset_measured(home: Home, place: Place | None = None) -> None:
    """Forget the measured runs of one kind of place, or of all: later estimates are the formula's own."""
    with _alone(home):
        name = place_name(place) if place else None
        _write(home, [known for known in read_measured(home) if name is not None and known.card != name])


def correction(home: Home, place: Place) -> Correction:
    """What the measured runs on such a place say about the formula."""
    name = place_name(place)
    here = [known for known in read_measured(home) if known.card == name][-_ASKED:]
    if not here:
        return Correction(1.0, 0, "No run was measured on this machine yet.")
    middle = median([(known.ratio, known.estimated) for known in here])
    factor = min(max(middle, LOWEST), HIGHEST)
    runs = "the one run measured" if len(here) == 1 else f"the last {len(here)} runs measured (their median)"
    less = "more" if factor >= 1 else "less"
    reason = f"{abs(factor - 1):.0%} {less} than the formula says: {runs} on {_shown(name)}."
    return Correction(factor, len(here), reason)


def median(weighted: Sequence[tuple[float, float]]) -> float:
    """The middle of (value, weight) pairs: half of all weight lies on values up to it.

    Large runs weigh more: what libraries take beside the model says little of larger ones.
    """
    half, seen = sum(weight for _, weight in weighted) / 2, 0.0
    ordered = sorted(weighted)
    for value, weight in ordered:
        seen += weight
        if seen >= half:
            return value
    return ordered[-1][0]


def _alone(home: Home) -> AbstractContextManager[Any]:
    """Only one process changes the file at a time."""
    # whoever only reads can do without it
    from filelock import FileLock

    return FileLock(home.root / ".measured.lock", timeout=_PATIENCE_S)


def _shown(name: str) -> str:
    return "this CPU" if name == CPU else f"the {name}"


def _write(home: Home, entries: list[Measured]) -> None:
    write_json(home.root / "measured.json", {"runs": [asdict(entry) for entry in entries[-_KEPT:]]})


def _entry(value: Any) -> Measured | None:
    """One entry as it was written; None for anything else."""
    kinds = {"str": str, "int": int, "float": (int, float)}
    if not isinstance(value, dict):
        return None
    known = {item.name: item for item in fields(Measured) if item.name in value}
    if any(
        not isinstance(value[name], kinds[str(item.type)]) or isinstance(value[name], bool)
        for name, item in known.items()
    ):
        return None
    try:
        return Measured(**{name: value[name] for name in known})
    except TypeError:
        return None
