"""Runs: create, list, open, start, read. A run is a folder; this is the only way into it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from core.base.aside import aside, remove, sweep
from core.base.errors import UserError
from core.base.events import EventLog
from core.base.files import fsync_folder, inside, replace
from core.base.home import Home
from core.base.jobs import JobState, log_tail, read_job, request_stop, start_job
from core.models import STARTER, STARTER_NAME, resolve_model
from core.recipe import Recipe
from core.runs.data import data_paths, known_sources

WORKER = "core.train.worker"


@dataclass(frozen=True)
class Run:
    """One run folder; see the README for what lies in it."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def recipe(self) -> Recipe:
        return Recipe.load(self.folder / "recipe.yaml")

    @property
    def events(self) -> EventLog:
        return EventLog(self.folder / "events.jsonl")

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def adapter(self) -> Path:
        return self.folder / "adapter"

    @property
    def export(self) -> Path:
        return self.folder / "export"

    @property
    def chats(self) -> Path:
        return self.folder / "chats"

    @property
    def export_name(self) -> str:
        """The model's name in files, Ollama and LM Studio: the run's name without date and random end."""
        match = re.fullmatch(r"\d{4}-\d\d-\d\d_(.+)_[0-9a-f]{4}", self.name)
        name = match[1] if match else self.name
        return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "model"

    @property
    def trained(self) -> bool:
        """Whether there is an adapter to export: it is written last, so its presence is enough."""
        return (self.adapter / "adapter_config.json").is_file()

    def state(self) -> JobState:
        return read_job(self.folder)

    def log_tail(self, lines: int = 40) -> str:
        return log_tail(self.folder, lines)


def create_run(home: Home, recipe: Recipe) -> Run:
    """Make the run folder with the recipe in it. All of it or nothing; its worker makes the copy of the data.

    Raises a UserError when the model isn't there or checked data can't be used. However large both are, it
    takes a moment: the starter's hashes are for the worker to compare, and so is data that was not checked.
    """
    if recipe.model != STARTER:
        resolve_model(home, recipe.model)
    hashes = known_sources(home, recipe)
    sweep(home.runs)
    folder = home.runs / _run_name(recipe)
    temporary = aside(folder)
    try:
        noted = recipe.with_changes(day=recipe.day or date.today(), hashes=hashes)
        noted.save(temporary / "recipe.yaml")
        replace(temporary, folder)
        fsync_folder(home.runs)
    except OSError as error:
        raise UserError(
            f"The run could not be written to {home.runs}: {error.strerror or error}. Free some space, or "
            "choose another home folder."
        ) from error
    finally:
        remove(temporary)
    return Run(folder)


def _run_name(recipe: Recipe) -> str:
    data = recipe.name or ("pirate" if recipe.data == "sample" else data_paths(recipe)[0][0].stem)
    model = STARTER_NAME if recipe.model == STARTER else Path(recipe.model).name
    parts = [re.sub(r"[^a-z0-9.]+", "-", part.lower()).strip("-.")[:40] for part in (data, model)]
    return "_".join([date.today().isoformat(), *filter(None, parts), secrets.token_hex(2)])


def list_runs(home: Home) -> list[Run]:
    """Every run, newest first."""
    found: list[tuple[int, Path]] = []
    for path in home.runs.glob("*/recipe.yaml"):
        # one may be deleted while it is looked at
        with suppress(OSError):
            if path.is_file() and not path.parent.name.startswith("."):
                found.append((path.stat().st_ctime_ns, path.parent))
    return [Run(folder) for _, folder in sorted(found, reverse=True)]


def open_run(home: Home, name: str) -> Run:
    """The run called `name` (its folder's name or its path), which must lie in the home folder."""
    folder = inside(home.runs, Path(name).expanduser())
    if not (folder / "recipe.yaml").is_file():
        known = ", ".join(run.name for run in list_runs(home)[:5]) or "none yet"
        raise UserError(f"There is no run “{name}” in {home.runs}. The newest: {known}.")
    return Run(folder)


def active_run(home: Home) -> Run | None:
    """The run that trains now, whichever page or program started it."""
    return next((run for run in list_runs(home) if run.state().active), None)


def start_run(home: Home, recipe: Recipe) -> Run:
    """Make a run and start its worker; when another trains, a UserError names it and nothing is made."""
    with _nobody_trains(home):
        run = create_run(home, recipe)
        _start_worker(home, run)
    return run


def start_training(home: Home, run: Run, resume: bool = False) -> None:
    """Start the train worker. One trains at a time: a UserError names the one that already does."""
    with _nobody_trains(home):
        _start_worker(home, run, *(["--resume"] if resume else []))


def _start_worker(home: Home, run: Run, *arguments: str) -> None:
    start_job(run.folder, WORKER, ["--home", str(home.root), *arguments])


@contextmanager
def _nobody_trains(home: Home) -> Iterator[None]:
    try:
        with FileLock(home.runs / ".start.lock", timeout=10):
            busy = active_run(home)
            if busy is not None:
                raise UserError(f"“{busy.name}” is training already. Wait for it, or stop it first.")
            yield
    except Timeout:
        raise UserError(
            "Another window is starting a run at this moment. Look at the Train step in a second."
        ) from None


def stop_training(run: Run, how: Literal["stop", "save"]) -> None:
    """Ask the run to end at the next step: `stop` keeps a checkpoint, `save` also keeps the adapter."""
    request_stop(run.folder, how)


def finished_checkpoints(run: Run) -> list[int]:
    """Steps of the complete checkpoints (they are renamed into place when whole), oldest first."""
    found = (re.fullmatch(r"step-(\d+)", path.name) for path in run.checkpoints.glob("step-*"))
    return sorted(int(match[1]) for match in found if match)


@dataclass
class Progress:
    """What the event log says so far. Loss points are (step, loss); memory in bytes, times in seconds.

    The time left may be off by the factor `eta_spread`, which falls as steps are measured.
    """

    job: JobState = field(default_factory=JobState)
    step: int = 0
    total_steps: int = 0
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
    """The picture after these events. One that was damaged costs only itself."""
    progress = Progress()
    for event in events:
        with suppress(KeyError, TypeError, ValueError):
            _FOLDERS.get(event["kind"], _ignore)(progress, event)
    return progress


def _number(event: dict[str, Any], name: str, before: Any) -> Any:
    """The event's number of that name, or its null; where there is neither, what was known before."""
    value = event.get(name, before)
    return value if value is None or isinstance(value, (int, float)) else before


def _ignore(progress: Progress, event: dict[str, Any]) -> None:
    """Kinds that only the log shows."""


def _started(progress: Progress, event: dict[str, Any]) -> None:
    step = int(event.get("step", 0))
    progress.points = [point for point in progress.points if point[0] <= step]
    progress.heldout = [point for point in progress.heldout if point[0] <= step]
    progress.step, progress.eta_s = step, None
    progress.total_steps = int(event.get("total_steps", progress.total_steps))
    progress.engine = str(event.get("engine", progress.engine))
    progress.reason = str(event.get("reason", progress.reason))
    progress.precision = str(event.get("precision", progress.precision))
    progress.estimated_memory = _number(event, "estimated_memory", progress.estimated_memory)


def _log(progress: Progress, event: dict[str, Any]) -> None:
    progress.step = int(event["step"])
    progress.total_steps = int(event.get("total_steps", progress.total_steps))
    if isinstance(event.get("loss"), (int, float)):
        progress.points.append((progress.step, float(event["loss"])))
    progress.tokens_per_s = _number(event, "tokens_per_s", progress.tokens_per_s)
    progress.memory = _number(event, "memory", progress.memory)
    progress.peak_memory = _number(event, "peak_memory", progress.peak_memory)
    progress.eta_s = _number(event, "eta_s", progress.eta_s)
    progress.eta_spread = _number(event, "eta_spread", progress.eta_spread)


def _eval(progress: Progress, event: dict[str, Any]) -> None:
    if isinstance(event.get("loss"), (int, float)):
        progress.heldout.append((int(event["step"]), float(event["loss"])))


def _stage(progress: Progress, event: dict[str, Any]) -> None:
    progress.stages.append((str(event.get("stage", "")), str(event["t"])))


def _warning(progress: Progress, event: dict[str, Any]) -> None:
    progress.warnings.append(str(event.get("message", "")))


def _done(progress: Progress, event: dict[str, Any]) -> None:
    progress.summary = {
        key: value for key, value in event.items() if key not in ("t", "kind")
    } or progress.summary
    progress.eta_s = None


_FOLDERS = {
    "started": _started,
    "log": _log,
    "eval": _eval,
    "stage": _stage,
    "warning": _warning,
    "summary": _done,
}
