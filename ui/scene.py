"""The page's whole world at one moment: what a tick draws is read from disk once, and then stays.

What was computed from files that are the same since is not computed again (ui/memo.py), so a scene in which
nothing has changed costs little more than asking the files for their times. Views are functions of a scene.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.home import STARTER, Home
from core.base.jobs import JobState, read_job
from core.chat.talk import Talk
from core.export.record import Export, read_exports
from core.fit import Lengths, MemoryEstimate, Place, estimate_memory
from core.fit.answer import Fit
from core.fit.calibration import read_calibration
from core.fit.learned import Correction, correction
from core.fit.speed import RunTime
from core.fit.training import moved_to, refusal_of, without_targets
from core.machine import Hardware
from core.models import ModelSpec
from core.presets import Preset, choose_preset, preset_named
from core.recipe import Recipe
from core.runs.progress import Progress, fold
from core.runs.run import Run, finished_checkpoints, list_runs
from ui.bench import Bench
from ui.choices import Choices
from ui.data import ChosenData, chosen_data, chosen_paths
from ui.memo import stamp
from ui.models import chosen_folder, chosen_spec

_ENDED = ("done", "stopped", "failed")
_WORDS = {"none": "not started", "running": "training", "done": "finished"}


@dataclass(frozen=True)
class RunLine:
    """A run and how its job stands."""

    run: Run
    state: JobState

    @property
    def status(self) -> str:
        """One or two words."""
        return _WORDS.get(self.state.status, self.state.status)


@dataclass(frozen=True)
class Scene:
    """Each part is made when it is first asked for, from the parts that it rests on."""

    bench: Bench
    choices: Choices
    machine: Hardware

    def where(self, **parts: Any) -> Scene:
        """The same moment with these parts instead; what rests on them follows."""
        other = Scene(self.bench, self.choices, self.machine)
        vars(other).update(parts)
        return other

    @property
    def home(self) -> Home:
        return self.bench.home

    @cached_property
    def place(self) -> Place:
        return Place.of(self.machine)

    # ----- the recipe

    @cached_property
    def _suited(self) -> tuple[Preset, str]:
        return choose_preset(self.machine)

    @property
    def suited(self) -> Preset:
        """The preset for this machine."""
        return self._suited[0]

    @cached_property
    def preset(self) -> Preset:
        """The chosen preset; the suited one where that is gone or damaged."""
        key = self.choices.preset
        if not key or key == self.suited.key:
            return self.suited
        try:
            return preset_named(key, self.home)
        except UserError:
            return self.suited

    @property
    def reason(self) -> str:
        """Why this preset."""
        return self._suited[1] if self.preset is self.suited else "Chosen by you."

    @cached_property
    def _checked(self) -> tuple[Recipe, str]:
        """The chosen recipe; while no model or no data is chosen, the starter and the sample stand in."""
        choices, problem = self.choices, ""
        try:
            paths = [str(path) for path in chosen_paths(self.bench, choices)]
        except UserError as refusal:
            paths, problem = [], str(refusal)
        chosen = {
            "model": choices.model or STARTER,
            "data": paths if choices.data_kind != "sample" and paths else "sample",
            "columns": choices.mapping,
            "fixes": choices.taken,
            **(choices.held_out if choices.data_kind != "sample" else {}),
            "chat_template": choices.template,
        }
        if not chosen.get("heldout", "-"):
            # a file of one's own that is not named yet
            chosen["heldout"] = None
        try:
            return self.preset.recipe(**{**choices.changes, **chosen}), problem
        except UserError as refusal:
            return self.preset.recipe(**chosen), str(refusal)

    @cached_property
    def recipe(self) -> Recipe:
        """One that can be used, always: settings that it refuses are left out."""
        return self._checked[0]

    @property
    def refused(self) -> str:
        """Why the chosen settings were left out of the recipe."""
        return self._checked[1]

    @cached_property
    def missing(self) -> tuple[str, str] | None:
        """What has to be chosen before a training can start: the step for it, and the sentence."""
        if not self.choices.model:
            return "model", "No model is chosen yet. Choose one in the Model step."
        if self.data.refusal:
            return "data", self.data.refusal
        if refusal := self.refused or refusal_of(self.recipe, self.place.device, self.model):
            return "preset", refusal
        if not chosen_paths(self.bench, self.choices):
            return "data", "No data is chosen yet. Choose it in the Data step."
        return None

    # ----- model and data

    @property
    def model_folder(self) -> Path:
        return chosen_folder(self.bench, self.choices)

    @cached_property
    def _shapes(self) -> tuple[ModelSpec | None, str]:
        try:
            return chosen_spec(self.bench, self.choices), ""
        except UserError as problem:
            return None, str(problem)

    @property
    def model(self) -> ModelSpec | None:
        """The shapes of the chosen model."""
        return self._shapes[0]

    @property
    def unknown(self) -> str:
        """Why they are not known, and so no `fit`."""
        return self._shapes[1]

    @cached_property
    def data(self) -> ChosenData:
        """Data that was just chosen is checked from now on."""
        return chosen_data(self.bench, self.choices, self.recipe)

    @cached_property
    def lengths(self) -> Lengths | None:
        """The lengths of the chosen data, as soon as they are measured.

        While the chosen model is not here, those that the last one has counted: others cut text much alike.
        """
        tokens = self.data.tokens
        if tokens is not None and tokens.max:
            self.bench.lengths[self.choices.data] = Lengths(tokens.p95, tokens.p99, tokens.max)
        return self.bench.lengths.get(self.choices.data)

    # ----- what it takes

    @cached_property
    def correction(self) -> Correction:
        return correction(self.home, self.place)

    @cached_property
    def fit(self) -> Fit | None:
        spec, recipe, place, lengths = self.model, self.recipe, self.place, self.lengths
        # target modules that the model doesn't have can't be counted; what keeps Start waiting says so
        if spec is None or without_targets(recipe, spec):
            return None
        parts = (spec, recipe.model_dump_json(), lengths, place, self.correction)
        return self.bench.memo.get("fit", parts, lambda: Fit.of(self.home, recipe, spec, place, lengths))

    @cached_property
    def time(self) -> RunTime | None:
        """Steps, tokens, time and energy; None before the data is measured."""
        fit, tokens, rows = self.fit, self.data.tokens, self.data.train_rows
        if fit is None or tokens is None or rows <= 0 or not tokens.rows_kept:
            return None
        ended = tuple((line.run.name, line.state.status) for line in self.runs)
        average = tokens.total / tokens.windows
        rows = round(rows * tokens.windows / tokens.rows_kept)
        parts = (fit.spec, fit.recipe.model_dump_json(), fit.lengths, fit.place, rows, average, ended)
        parts = (*parts, read_calibration(self.home, fit.place))
        return self.bench.memo.get("time", parts, lambda: fit.time(self.machine, rows, average))

    @property
    def disk(self) -> int:
        """Bytes that the run still writes up to the export: a base that is here is not fetched again."""
        if self.fit is None:
            return 0
        here = (self.model_folder / "config.json").is_file()
        return self.fit.estimate.disk - (self.fit.spec.file_bytes or 0) * here

    def estimate(self, spec: ModelSpec) -> MemoryEstimate:
        """What a run on another model would take with the same recipe, data and machine."""
        factor = self.correction.factor
        longest = self.lengths.longest if self.lengths else None
        recipe = moved_to(self.recipe, spec)
        parts = (recipe.model_dump_json(), longest, self.place, factor)
        estimates: dict[ModelSpec, MemoryEstimate] = self.bench.memo.get("estimates", parts, dict, keep=4)
        if spec not in estimates:
            estimates[spec] = estimate_memory(recipe, spec, self.place, longest, factor)
        return estimates[spec]

    # ----- runs

    @cached_property
    def runs(self) -> tuple[RunLine, ...]:
        return tuple(RunLine(run, self._job(run.folder)) for run in list_runs(self.home))

    @cached_property
    def run(self) -> Run | None:
        """The run that is looked at: the chosen one, else the one that trains, else the newest."""
        chosen, lines = self.choices.run, self.runs
        order = sorted(lines, key=lambda line: (line.run.name != chosen, not line.state.active))
        return order[0].run if order else None

    @cached_property
    def progress(self) -> Progress | None:
        return self._progress(self.run) if self.run is not None else None

    @cached_property
    def busy(self) -> tuple[Run, Progress] | None:
        """The run that trains now."""
        active = next((line.run for line in self.runs if line.state.active), None)
        return None if active is None else (active, self._progress(active))

    @cached_property
    def exporting(self) -> JobState | None:
        """The export that runs now."""
        states = (self._job(line.run.export) for line in self.runs)
        return next((state for state in states if state.active), None)

    def _job(self, folder: Path) -> JobState:
        """How a job stands. What has ended stays so while its file stays; others are asked every time."""
        parts = (folder, stamp(folder / "state.json"))
        if parts[1] == (None,):
            return JobState()
        state = self.bench.memo.get("job", parts, lambda: read_job(folder), keep=400)
        return state if state.status in _ENDED else read_job(folder)

    def _progress(self, run: Run) -> Progress:
        """How the run goes. What its log said before is neither read nor folded again."""
        log = self.bench.memo.get("log", run.folder, _Log, keep=4)
        try:
            progress = log.catch_up(run)
        except UserError as problem:
            progress = Progress(warnings=[str(problem)])
        return replace(progress, job=self._job(run.folder), checkpoints=finished_checkpoints(run))

    @cached_property
    def _record(self) -> tuple[list[Export], str]:
        try:
            return (read_exports(self.run) if self.run is not None else []), ""
        except UserError as problem:
            return [], str(problem)

    @property
    def exports(self) -> list[Export]:
        """The finished files of the run that is looked at, the newest first."""
        return self._record[0]

    @property
    def damage(self) -> str:
        """Why the run's exports can't be read."""
        return self._record[1]

    @property
    def export(self) -> Export | None:
        """The file to talk to: of the chosen quantization, else the newest."""
        ordered = sorted(self.exports, key=lambda export: export.quant != self.choices.quant)
        return next(iter(ordered), None)

    @property
    def talk(self) -> Talk | None:
        """The conversation with the run that is looked at."""
        return self.bench.talk(self.run) if self.run is not None else None


def scene_of(bench: Bench) -> Scene:
    """The world as it is now."""
    return Scene(bench, bench.choices(), bench.hardware)


def with_settings(scene: Scene, **changes: Any) -> Scene:
    """The same scene with other settings, for a look at what they would take. A UserError refuses one."""
    return scene.where(recipe=scene.recipe.with_changes(**changes), lengths=scene.lengths)


def recipe_to_train(scene: Scene) -> Recipe:
    """The recipe that Start would train. A UserError names what is wrong."""
    if scene.missing is not None:
        raise UserError(scene.missing[1])
    return scene.recipe


class _Log:
    """What a run's log has told so far, and the picture that it makes."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.offset = 0
        self.progress = Progress()
        self.lock = threading.Lock()

    def catch_up(self, run: Run) -> Progress:
        with self.lock:
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
