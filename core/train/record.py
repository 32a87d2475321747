"""What stays of a run beside its adapter: what it was made of, and its peak beside what was expected."""

from __future__ import annotations

import platform
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from core.base.errors import UserError
from core.base.files import sha256_file
from core.base.home import Home
from core.base.jobs import Worker
from core.fit import Lengths, Place
from core.fit.answer import Fit
from core.machine import find_hardware
from core.methods.settle import Device
from core.models import spec_of_folder, weight_files
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
    # runs made before checkpoints carried a mark get theirs now
    own = {"run": recipe.run or secrets.token_hex(8), "versions": versions}
    recipe.with_changes(**own, hashes={**recipe.hashes, **hashes}).save(run.folder / "recipe.yaml")


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


def plan_run(
    worker: Worker, home: Home, recipe: Recipe, folder: Path, device: Device, lengths: Sequence[int]
) -> Fit | None:
    """The estimate with what is known by now: the device as it was measured, the rows.

    An estimate must not end a run that would go well, so what goes wrong with it is said as a warning.
    """
    try:
        hardware = find_hardware(home.root)
        place = Place.of(replace(hardware, gpus=()) if device.kind == "cpu" else hardware)
        longest = max(lengths, default=recipe.max_length)
        rows = Lengths(longest, longest, longest)
        return Fit.of(home, recipe, spec_of_folder(home, folder, print), replace(place, device=device), rows)
    except Exception as error:
        worker.say("warning", message=f"The memory of this run could not be estimated: {error}")
        return None
