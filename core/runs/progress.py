"""How a run goes: its event log folded into one picture, for the page, the commands and the tests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from core.base.jobs import JobState
from core.runs.run import Run, finished_checkpoints


@dataclass
class Progress:
    """What the event log says so far. Loss points are (step, loss); memory in bytes, times in seconds.

    The time left may be off by the factor `eta_spread`, which falls as steps are measured.
    """

    job: JobState = field(default_factory=JobState)
    step: int = 0
    total_steps: int = 0
    rows: int = 0
    heldout_rows: int = 0
    points: list[tuple[int, float]] = field(default_factory=list)
    heldout: list[tuple[int, float]] = field(default_factory=list)
    stages: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    checkpoints: list[int] = field(default_factory=list)
    engine: str = ""
    reason: str = ""
    precision: str = ""
    tokens_per_s: float | None = None
    memory: int | None = None
    peak_memory: int | None = None
    estimated_memory: int | None = None
    eta_s: float | None = None
    eta_spread: float | None = None
    summary: dict[str, Any] = field(default_factory=dict)


def read_progress(run: Run) -> Progress:
    """Fold the run's events into one picture; a resumed run goes on from its checkpoint's step."""
    progress = fold(run.events.all())
    progress.job = run.state()
    progress.checkpoints = finished_checkpoints(run)
    return progress


def fold(events: list[dict[str, Any]]) -> Progress:
    """The picture after these events; kinds that only the log shows change nothing.

    One that was damaged costs only itself.
    """
    progress = Progress()
    for event in events:
        with suppress(KeyError, TypeError, ValueError):
            if change := _CHANGES.get(event["kind"]):
                change(progress, event)
    return progress


def _started(progress: Progress, event: dict[str, Any]) -> None:
    step = int(event.get("step", 0))
    progress.points = [point for point in progress.points if point[0] <= step]
    progress.heldout = [point for point in progress.heldout if point[0] <= step]
    progress.step, progress.eta_s = step, None
    progress.total_steps = int(event.get("total_steps", progress.total_steps))
    for name in ("engine", "reason", "precision"):
        setattr(progress, name, str(event.get(name, getattr(progress, name))))
    _take_numbers(progress, event, "estimated_memory")
    progress.rows = int(event.get("rows", progress.rows))
    progress.heldout_rows = int(event.get("heldout_rows", progress.heldout_rows))


def _log(progress: Progress, event: dict[str, Any]) -> None:
    progress.step = int(event["step"])
    progress.total_steps = int(event.get("total_steps", progress.total_steps))
    if isinstance(event.get("loss"), (int, float)):
        progress.points.append((progress.step, float(event["loss"])))
    peak = progress.peak_memory
    _take_numbers(progress, event, "tokens_per_s", "memory", "peak_memory", "eta_s", "eta_spread")
    # a resumed run measures its own part; the run's peak is the higher of both
    progress.peak_memory = max(filter(None, (peak, progress.peak_memory)), default=None)


def _take_numbers(progress: Progress, event: dict[str, Any], *names: str) -> None:
    """The event's numbers of these names, or its nulls; where there is neither, what was before."""
    for name in names:
        value = event.get(name, getattr(progress, name))
        if value is None or isinstance(value, (int, float)):
            setattr(progress, name, value)


def _eval(progress: Progress, event: dict[str, Any]) -> None:
    if isinstance(event.get("loss"), (int, float)):
        progress.heldout.append((int(event["step"]), float(event["loss"])))


def _stage(progress: Progress, event: dict[str, Any]) -> None:
    progress.stages.append((str(event.get("stage", "")), str(event["t"])))


def _warning(progress: Progress, event: dict[str, Any]) -> None:
    message = str(event.get("message", ""))
    # a resumed run meets the same things again
    if message not in progress.warnings:
        progress.warnings.append(message)


def _summary(progress: Progress, event: dict[str, Any]) -> None:
    fields = {key: value for key, value in event.items() if key not in ("t", "kind")}
    progress.summary = fields or progress.summary
    progress.eta_s = None


_CHANGES: dict[str, Callable[[Progress, dict[str, Any]], None]] = {
    "started": _started,
    "log": _log,
    "eval": _eval,
    "stage": _stage,
    "warning": _warning,
    "summary": _summary,
}
