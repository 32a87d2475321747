"""What a run was made of: library versions, and hashes of data and model, kept in its recipe."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

from core.base.errors import UserError
from core.base.files import sha256_file
from core.base.jobs import Worker
from core.models import weight_files
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


def note_origins(worker: Worker, run: Run, recipe: Recipe, model_folder: Path, resume: bool) -> Recipe:
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
    noted = recipe.with_changes(versions=versions, hashes={**recipe.hashes, **hashes})
    noted.save(run.folder / "recipe.yaml")
    return noted


def library_versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that decide a run's numbers."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


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
