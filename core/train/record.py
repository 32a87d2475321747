"""What stays of a run beside its adapter: what it was made of, and its peak beside what was expected."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from importlib import metadata
from pathlib import Path

from core.base.errors import UserError
from core.base.files import sha256_file
from core.base.home import Home
from core.base.jobs import Worker
from core.fit import MemoryEstimate, Place, Workload, estimate_memory
from core.fit.cost import operations_per_token
from core.fit.measured import Measured, correction, note_measured, place_name
from core.machine import find_hardware
from core.models import ModelSpec, spec_of_folder, weight_files
from core.recipe import Recipe
from core.runs.run import Run

_LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "tokenizers",
    "bitsandbytes",
    "trl",
    "unsloth",
    "unsloth_zoo",
)


def note_origins(worker: Worker, run: Run, recipe: Recipe, model_folder: Path, resume: bool) -> None:
    """Write library versions and hashes of data and model into the run's recipe.

    On a resume they are compared: other data or another model is a UserError, another library a warning.
    """
    versions, hashes = library_versions(), origin_hashes(run, model_folder)
    if resume and recipe.hashes:
        changed = sorted(key for key, value in hashes.items() if recipe.hashes.get(key, value) != value)
        if changed:
            raise UserError(
                f"{', '.join(changed)} changed since this run began, so it can't be resumed. "
                "Start a new run instead."
            )
        for name in sorted(
            key for key, value in versions.items() if recipe.versions.get(key, value) != value
        ):
            message = f"{name} was {recipe.versions[name]} when this run began and is {versions[name]} now."
            worker.say("warning", message=message)
    # what was noted when the run was made stays: the hashes of the files that its data came from
    whole = recipe.with_changes(versions=versions, hashes={**recipe.hashes, **hashes})
    whole.save(run.folder / "recipe.yaml")


def library_versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that decide a run's numbers."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def origin_hashes(run: Run, model_folder: Path) -> dict[str, str]:
    """SHA-256 of the data snapshot and of the model's files, by a readable name."""
    data = [run.data / "train.jsonl", run.data / "heldout.jsonl"]
    model = [
        model_folder / "config.json",
        model_folder / "tokenizer.json",
        model_folder / "tokenizer_config.json",
        model_folder / "chat_template.jinja",
        *weight_files(model_folder),
    ]
    named = {f"data/{path.name}": path for path in data} | {f"model/{path.name}": path for path in model}
    return {name: sha256_file(path) for name, path in named.items() if path.is_file()}


@dataclass(frozen=True)
class Planned:
    """What the run was expected to take: `estimate` is the formula's own, without a correction."""

    spec: ModelSpec
    workload: Workload
    place: Place
    estimate: MemoryEstimate
    factor: float
    rows: int

    @property
    def expected(self) -> int:
        """Bytes, corrected by the runs before."""
        return round(self.estimate.total * self.factor)

    def note(self, home: Home, run: str, peak: int, steps: int, tokens_per_s: float) -> None:
        """Keep the measured peak and speed, if every row was computed once: the longest makes the peak."""
        if steps * self.workload.micro_batch * self.workload.accumulate < self.rows:
            return
        note_measured(home, self._entry(run, peak, tokens_per_s))

    def _entry(self, run: str, peak: int, tokens_per_s: float) -> Measured:
        work = self.workload
        return Measured(
            run=run,
            day=date.today().isoformat(),
            model=self.spec.name,
            parameters=self.spec.parameters,
            card=place_name(self.place),
            quantization=work.quantization,
            checkpointing=work.checkpointing,
            backend=work.backend,
            max_length=work.max_length,
            estimated=self.estimate.total,
            measured=peak,
            tokens_per_s=tokens_per_s,
            work=tokens_per_s * operations_per_token(self.spec, work, self.place.gpu),
        )


def plan_run(
    worker: Worker, home: Home, recipe: Recipe, folder: Path, device: str, lengths: Sequence[int]
) -> Planned | None:
    """The estimate with what is known by now: the engine, the precision, the rows.

    An estimate must not end a run that would go well, so what goes wrong with it is said as a warning.
    """
    try:
        return _plan(home, recipe, folder, device, lengths)
    except Exception as error:
        worker.say("warning", message=f"The memory of this run could not be estimated: {error}")
        return None


def _plan(home: Home, recipe: Recipe, folder: Path, device: str, lengths: Sequence[int]) -> Planned:
    hardware = find_hardware(home.root)
    place = Place.of(replace(hardware, gpus=()) if device == "cpu" else hardware)
    spec = spec_of_folder(home, folder, print)
    workload = Workload.of(recipe, max(lengths, default=None))
    estimate = estimate_memory(spec, workload, place)
    return Planned(spec, workload, place, estimate, correction(home, place).factor, len(lengths))
