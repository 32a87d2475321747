"""The workbench behind every page: home folder, hardware, and the choices so far, kept in a file."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.files import inside, read_json, write_json
from core.base.home import APP_FOLDER, SAMPLE_DATA, Home
from core.base.jobs import JobState, read_job
from core.chat.talk import Talk
from core.data import ChatTokenizer
from core.fit import Place
from core.hub.download import dataset_folder
from core.machine import Hardware, find_hardware
from core.models import STARTER, model_folder
from core.presets import Preset, choose_preset, preset_named
from core.recipe import Recipe
from core.runs.progress import Progress, fold
from core.runs.run import Run, active_run, finished_checkpoints, list_runs, open_run
from ui.choices import Choices
from ui.desk import Desk
from ui.errand import Errands
from ui.model_desk import ModelDesk

HARDWARE_AGE_S = 30.0
RUNS_REMEMBERED = 4


class Bench:
    """One per app process. Holds nothing that a restart would lose."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._lock = threading.Lock()
        self._choosing = threading.Lock()
        self.desk = Desk(home)
        self.models = ModelDesk(home)
        self._hardware: tuple[float, Hardware] | None = None
        self.errands = Errands()
        self._talks: dict[str, Talk] = {}
        self._told: dict[str, _Told] = {}

    @property
    def hardware(self) -> Hardware:
        """The machine as found at most half a minute ago: free memory changes."""
        if self._hardware is None or time.monotonic() - self._hardware[0] > HARDWARE_AGE_S:
            self._hardware = (time.monotonic(), find_hardware(self.home.root))
        return self._hardware[1]

    def look_again(self) -> None:
        """Measure the machine anew at the next question."""
        self._hardware = None
        self.desk.forget()

    def place(self) -> Place:
        """Where a training would run on this machine, and the memory that it may use there."""
        return Place.of(self.hardware)

    @property
    def _file(self) -> Path:
        return self.home.root / "choices.json"

    def choices(self) -> Choices:
        """The choices on disk; what is damaged or unknown there falls back to the defaults."""
        try:
            saved = read_json(self._file, {})
        except UserError:
            saved = {}
        defaults = Choices()
        kept = {
            item.name: saved[item.name]
            for item in fields(Choices)
            if isinstance(saved, dict)
            and isinstance(saved.get(item.name), type(getattr(defaults, item.name)))
        }
        return replace(defaults, **kept)

    def choose(self, **changes: Any) -> Choices:
        """Change some choices and keep them."""
        return self.change(lambda choices: replace(choices, **changes))

    def change(self, make: Callable[[Choices], Choices]) -> Choices:
        """Keep what `make` makes of the choices; two changes at the same moment both count."""
        with self._choosing:
            choices = make(self.choices())
            write_json(self._file, asdict(choices))
        return choices

    def preset(self) -> tuple[Preset, str]:
        """The chosen preset with the reason in words."""
        suited, reason = choose_preset(self.hardware)
        chosen = self.choices().preset
        if not chosen or chosen == suited.key:
            return suited, reason
        try:
            return preset_named(chosen, self.home), "Chosen by you."
        except UserError:
            return suited, reason

    def recipe(self) -> Recipe:
        """The recipe that Start would train. A UserError names what is wrong."""
        choices = self.choices()
        if not choices.model:
            raise UserError("No model is chosen yet. Choose one in the Model step.")
        if not self.data_paths():
            raise UserError("No data is chosen yet. Choose it in the Data step.")
        return self.recipe_so_far()

    def recipe_so_far(self) -> Recipe:
        """The same while no model or no data is chosen: the starter and the sample stand in."""
        choices = self.choices()
        paths = [str(path) for path in self.data_paths()]
        chosen = {
            "model": choices.model or STARTER,
            "data": paths if choices.data_kind != "sample" and paths else "sample",
            "columns": choices.mapping,
            "fixes": choices.taken,
            "chat_template": choices.template,
        }
        return self.preset()[0].recipe(**{**choices.changes, **chosen})

    def model_folder(self) -> Path:
        """Where the chosen model lies, or will lie."""
        return model_folder(self.home, self.choices().model or STARTER)

    def starter_ready(self) -> bool:
        """Whether the starter model stands in the home folder."""
        return (model_folder(self.home, STARTER) / "starter.json").is_file()

    def build_starter(self) -> None:
        """Build the starter model in a process of its own, once; the pages see when it is there."""
        with self._lock:
            if not self.starter_ready():
                self.errands.run("starter", self._build_starter, str)

    def _build_starter(self) -> str:
        command = [sys.executable, "-m", "core.models.starter", str(self.home.root)]
        done = subprocess.run(command, cwd=APP_FOLDER, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise UserError(said[-1] if said else "The starter model could not be built.")
        return ""

    def starter_failed(self) -> str:
        """Why the starter's build failed, else an empty string."""
        errand = self.errands.find("starter")
        return errand.message if errand is not None and errand.status == "failed" else ""

    def data_paths(self) -> list[Path]:
        """The files or folders with the training rows; none while nothing is chosen."""
        choices = self.choices()
        if choices.data_kind == "sample":
            return [SAMPLE_DATA / "train.jsonl"]
        if choices.data_kind == "path":
            return [Path(choices.path).expanduser()] if choices.path else []
        if choices.data_kind == "hub":
            folder = dataset_folder(self.home, choices.data_hub)
            return [folder] if choices.data_hub and folder.is_dir() else []
        return [inside(self.home.datasets, name) for name in choices.files]

    def tokenizer(self, folder: Path) -> ChatTokenizer:
        """The tokenizer of a model folder with the chosen chat template, read once while its files stay."""
        names = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
        times = tuple((folder / name).stat().st_mtime_ns for name in names if (folder / name).is_file())
        return _load_tokenizer(folder, self.choices().template, date.today(), times)

    def run(self) -> Run | None:
        """The run that is looked at: the chosen one, else the one that trains, else the newest."""
        chosen = self.choices().run
        if chosen:
            try:
                return open_run(self.home, chosen)
            except UserError:
                self.choose(run="")
        return active_run(self.home) or next(iter(list_runs(self.home)), None)

    def runs(self) -> list[Run]:
        return list_runs(self.home)

    def progress(self, run: Run) -> Progress:
        """How the run goes. What its log said before is neither read nor folded again."""
        with self._lock:
            told = self._told.pop(run.name, None) or _Told()
            self._told = dict([*self._told.items(), (run.name, told)][-RUNS_REMEMBERED:])
            progress = told.catch_up(run)
        return replace(progress, job=run.state(), checkpoints=finished_checkpoints(run))

    def running_export(self) -> JobState | None:
        """The export that runs now, if any."""
        states = (read_job(run.export) for run in self.runs())
        return next((state for state in states if state.active), None)

    def talk(self) -> Talk | None:
        """The conversation with the run that is looked at."""
        run = self.run()
        if run is None:
            return None
        with self._lock:
            if run.name not in self._talks:
                self._talks[run.name] = Talk(run).load()
            return self._talks[run.name]


class _Told:
    """What a run's log has said so far, and the picture that it makes."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.offset = 0
        self.progress = Progress()

    def catch_up(self, run: Run) -> Progress:
        before = self.offset
        while True:
            more, reached = run.events.read(self.offset)
            self.events += more
            if reached == self.offset:
                break
            self.offset = reached
        if self.offset != before:
            self.progress = fold(self.events)
        return self.progress


@lru_cache(maxsize=2)
def _load_tokenizer(folder: Path, template: str, day: date, times: tuple[int, ...]) -> ChatTokenizer:
    return ChatTokenizer.load(folder, template, day)
