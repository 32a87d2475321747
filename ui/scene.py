"""The page's whole world at one moment: made once a tick from the files on disk, and then only looked at.

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
    """`recipe` is always one that can be used: `refused` says why the chosen settings were left out of it.

    `missing` is the step and the sentence of what has to be chosen before a training can start; `unknown`
    why there is no `model` (its shapes) and so no `fit`. `run` is the run that is looked at, `busy` the one
    that trains now, `exporting` the export that runs.
    """

    bench: Bench
    choices: Choices
    machine: Hardware
    place: Place
    suited: Preset
    preset: Preset
    reason: str
    recipe: Recipe
    refused: str
    missing: tuple[str, str] | None
    model: ModelSpec | None
    unknown: str
    data: ChosenData
    lengths: Lengths | None
    correction: Correction
    fit: Fit | None
    time: RunTime | None
    runs: tuple[RunLine, ...]
    run: Run | None
    progress: Progress | None
    busy: tuple[Run, Progress] | None
    exporting: JobState | None

    @property
    def home(self) -> Home:
        return self.bench.home

    @cached_property
    def model_folder(self) -> Path:
        return chosen_folder(self.bench, self.choices)

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

    @cached_property
    def export(self) -> Export | None:
        """The file to talk to: of the chosen quantization, else the newest."""
        ordered = sorted(self.exports, key=lambda export: export.quant != self.choices.quant)
        return next(iter(ordered), None)

    @property
    def talk(self) -> Talk | None:
        """The conversation with the run that is looked at."""
        return self.bench.talk(self.run) if self.run is not None else None

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


def scene_of(bench: Bench) -> Scene:
    """The world as it is now. Starts the check of data that was just chosen."""
    choices, machine = bench.choices(), bench.hardware
    place = Place.of(machine)
    suited, reason = choose_preset(machine)
    preset = _chosen_preset(bench, choices, suited)
    recipe, refused = _recipe(bench, choices, preset)
    try:
        model, unknown = chosen_spec(bench, choices), ""
    except UserError as problem:
        model, unknown = None, str(problem)
    data = chosen_data(bench, choices, recipe)
    lengths = _lengths(bench, choices, data)
    measured = bench.memo.get(
        "correction",
        (place, stamp(bench.home.root / "measured.json")),
        lambda: correction(bench.home, place),
    )
    runs = _runs(bench)
    run = _run_in_sight(bench, choices, runs)
    active = next((line.run for line in runs if line.state.active), None)
    states = (_job_state(bench, line.run.export) for line in runs)
    fit = _fit(bench, recipe, model, place, lengths, measured)
    return Scene(
        bench=bench,
        choices=choices,
        machine=machine,
        place=place,
        suited=suited,
        preset=preset,
        reason=reason if preset is suited else "Chosen by you.",
        recipe=recipe,
        refused=refused,
        missing=_missing(bench, choices, recipe, refused or refusal_of(recipe, place.device, model)),
        model=model,
        unknown=unknown,
        data=data,
        lengths=lengths,
        correction=measured,
        fit=fit,
        time=_time(bench, fit, data, machine, runs),
        runs=runs,
        run=run,
        progress=_progress(bench, run) if run is not None else None,
        busy=(active, _progress(bench, active)) if active is not None else None,
        exporting=next((state for state in states if state.active), None),
    )


def with_settings(scene: Scene, **changes: Any) -> Scene:
    """The same scene with other settings, for a look at what they would take. A UserError refuses one."""
    recipe = scene.recipe.with_changes(**changes)
    fit = _fit(scene.bench, recipe, scene.model, scene.place, scene.lengths, scene.correction)
    return replace(scene, recipe=recipe, fit=fit)


def recipe_to_train(scene: Scene) -> Recipe:
    """The recipe that Start would train. A UserError names what is wrong."""
    if scene.missing is not None:
        raise UserError(scene.missing[1])
    return scene.recipe


def _chosen_preset(bench: Bench, choices: Choices, suited: Preset) -> Preset:
    if not choices.preset or choices.preset == suited.key:
        return suited
    own = stamp(bench.home.root / "presets", *sorted((bench.home.root / "presets").glob("*.yaml")))
    try:
        return bench.memo.get(
            "preset", (choices.preset, own), lambda: preset_named(choices.preset, bench.home)
        )
    except UserError:
        return suited


def _recipe(bench: Bench, choices: Choices, preset: Preset) -> tuple[Recipe, str]:
    """The chosen recipe; while no model or no data is chosen, the starter and the sample stand in.

    Settings that the recipe refuses are left out, and the second says why.
    """
    try:
        paths = [str(path) for path in chosen_paths(bench, choices)]
    except UserError as problem:
        paths, problem_with_data = [], str(problem)
    else:
        problem_with_data = ""
    chosen = {
        "model": choices.model or STARTER,
        "data": paths if choices.data_kind != "sample" and paths else "sample",
        "columns": choices.mapping,
        "fixes": choices.taken,
        "chat_template": choices.template,
    }
    try:
        return preset.recipe(**{**choices.changes, **chosen}), problem_with_data
    except UserError as problem:
        return preset.recipe(**chosen), str(problem)


def _missing(bench: Bench, choices: Choices, recipe: Recipe, refused: str) -> tuple[str, str] | None:
    """What has to be chosen before a training can start: the step for it, and the sentence."""
    if not choices.model:
        return "model", "No model is chosen yet. Choose one in the Model step."
    if refused:
        return "preset", refused
    if not chosen_paths(bench, choices):
        return "data", "No data is chosen yet. Choose it in the Data step."
    return None


def _lengths(bench: Bench, choices: Choices, data: ChosenData) -> Lengths | None:
    """The lengths of the chosen data, as soon as they are measured.

    While the chosen model is not here, those that the last one has counted: others cut text much alike.
    """
    if data.tokens is not None and data.tokens.max:
        bench.lengths[choices.data] = Lengths(data.tokens.p95, data.tokens.p99, data.tokens.max)
    return bench.lengths.get(choices.data)


def _fit(
    bench: Bench,
    recipe: Recipe,
    spec: ModelSpec | None,
    place: Place,
    lengths: Lengths | None,
    measured: Correction,
) -> Fit | None:
    # target modules that the model doesn't have can't be counted; what keeps Start waiting says so
    if spec is None or without_targets(recipe, spec):
        return None
    return bench.memo.get(
        "fit",
        (spec, recipe.model_dump_json(), lengths, place, measured),
        lambda: Fit.of(bench.home, recipe, spec, place, lengths),
    )


def _time(
    bench: Bench,
    fit: Fit | None,
    data: ChosenData,
    machine: Hardware,
    runs: tuple[RunLine, ...],
) -> RunTime | None:
    """Steps, tokens, time and energy; None before the data is measured."""
    tokens = data.tokens
    if fit is None or tokens is None or data.train_rows <= 0 or not tokens.rows_kept:
        return None
    ended = tuple((line.run.name, line.state.status) for line in runs)
    average = tokens.total / tokens.rows_kept
    parts = (fit.spec, fit.recipe.model_dump_json(), fit.lengths, fit.place, data.train_rows, average, ended)
    parts = (*parts, read_calibration(bench.home, fit.place))
    return bench.memo.get("time", parts, lambda: fit.time(machine, data.train_rows, average))


def _runs(bench: Bench) -> tuple[RunLine, ...]:
    return tuple(RunLine(run, _job_state(bench, run.folder)) for run in list_runs(bench.home))


def _job_state(bench: Bench, folder: Path) -> JobState:
    """How a job stands. What has ended stays so while its file stays; others are asked every time."""
    parts = (folder, stamp(folder / "state.json"))
    if parts[1] == (None,):
        return JobState()
    state = bench.memo.get("job", parts, lambda: read_job(folder), keep=400)
    return state if state.status in _ENDED else read_job(folder)


def _run_in_sight(bench: Bench, choices: Choices, runs: tuple[RunLine, ...]) -> Run | None:
    """The chosen run, else the one that trains, else the newest."""
    chosen = next((line.run for line in runs if line.run.name == choices.run), None)
    if chosen is not None:
        return chosen
    return next((line.run for line in sorted(runs, key=lambda line: not line.state.active)), None)


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


def _progress(bench: Bench, run: Run) -> Progress:
    """How the run goes. What its log said before is neither read nor folded again."""
    log = bench.memo.get("log", run.folder, _Log, keep=4)
    try:
        progress = log.catch_up(run)
    except UserError as problem:
        progress = Progress(warnings=[str(problem)])
    return replace(progress, job=_job_state(bench, run.folder), checkpoints=finished_checkpoints(run))
