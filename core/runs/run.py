"""Runs: create, list, open, start, stop. A run is a folder; this is the only way into it."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from core.base.errors import UserError, disk_sentence
from core.base.events import EventLog
from core.base.files import inside, replacement, sha256_file, sweep
from core.base.home import STARTER, STARTER_NAME, Home
from core.base.jobs import JobState, log_tail, read_job, request_stop, start_job
from core.base.records import read_if_whole
from core.recipe import Recipe
from core.runs.data import known_sources, named_data

WORKER = "core.train.worker"


@dataclass(frozen=True)
class Trained:
    """Which adapter a run has: that of a step, by the SHA-256 of its weights and settings."""

    step: int
    sha256: str


TRAINED = "trained.json"


def adapter_sha256(folder: Path) -> str:
    """One SHA-256 of an adapter's weights and settings."""
    files = ("adapter_config.json", "adapter_model.safetensors")
    return sha256("".join(sha256_file(folder / name) for name in files).encode()).hexdigest()


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
        """The model's name in files, Ollama and LM Studio: the run's name without date and random end.

        Ollama takes plain letters only, so “übung” becomes “ubung”.
        """
        match = re.fullmatch(r"\d{4}-\d\d-\d\d_(.+)_[0-9a-f]{4}", self.name)
        name = unicodedata.normalize("NFKD", (match[1] if match else self.name).casefold())
        bare = "".join(sign for sign in name if not unicodedata.combining(sign))
        return re.sub(r"[^a-z0-9.]+", "-", bare).strip("-.") or "model"

    @property
    def trained(self) -> bool:
        """Whether there is an adapter to export: it is written last, so its presence is enough."""
        return (self.adapter / "adapter_config.json").is_file()

    @property
    def adapter_note(self) -> Trained | None:
        """Which adapter lies there; None where an earlier version of the app wrote it, or nobody did."""
        return read_if_whole(self.adapter / TRAINED, Trained)

    def state(self) -> JobState:
        return read_job(self.folder)

    def log_tail(self, lines: int = 40) -> str:
        return log_tail(self.folder, lines)


def create_run(home: Home, recipe: Recipe) -> Run:
    """Make the run folder with the recipe in it. All of it or nothing; its worker makes the copy of the data.

    Raises a UserError when checked data can't be used. However large it is, that takes a moment: data that
    was not checked is for the worker to read. Whether the model is here is for the caller to ask.
    """
    hashes = known_sources(home, recipe)
    sweep(home.runs)
    folder = home.runs / _run_name(recipe)
    try:
        with replacement(folder) as temporary:
            own = {"run": secrets.token_hex(8), "day": recipe.day or date.today(), "hashes": hashes}
            recipe.with_changes(**own).save(temporary / "recipe.yaml")
    except OSError as error:
        what = "The run could not be written"
        raise UserError(disk_sentence(error, what, home.runs, "press Start again")) from error
    return Run(folder)


def _run_name(recipe: Recipe) -> str:
    data = recipe.name or ("pirate" if recipe.data == "sample" else named_data(recipe)[0].stem)
    model = STARTER_NAME if recipe.model == STARTER else Path(recipe.model).name
    names = (unicodedata.normalize("NFC", part.casefold()) for part in (data, model))
    parts = [re.sub(r"[^\w.]+|_+", "-", name)[:40].strip("-.") for name in names]
    return "_".join([date.today().isoformat(), *filter(None, parts), secrets.token_hex(2)])


def list_runs(home: Home) -> list[Run]:
    """Every run, newest first."""
    ages: list[tuple[int, Path]] = []
    for recipe in home.runs.glob("[!.]*/recipe.yaml"):
        # one may be deleted while it is looked at
        with suppress(OSError):
            if recipe.is_file():
                ages.append((recipe.stat().st_ctime_ns, recipe.parent))
    return [Run(folder) for _, folder in sorted(ages, reverse=True)]


def open_run(home: Home, name: str) -> Run:
    """The run called `name` (its folder's name or its path), which must lie in the home folder."""
    folder = inside(home.runs, Path(name).expanduser())
    if not (folder / "recipe.yaml").is_file():
        newest = ", ".join(run.name for run in list_runs(home)[:5]) or "none yet"
        raise UserError(f"There is no run “{name}” in {home.runs}. The newest: {newest}.")
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
    names = (re.fullmatch(r"step-(\d+)", path.name) for path in run.checkpoints.glob("step-*"))
    return sorted(int(name[1]) for name in names if name)
