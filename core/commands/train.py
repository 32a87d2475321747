"""Train as a recipe file says, or resume a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.home import Home
from core.commands.follow import follow
from core.commands.options import method_lines
from core.fit.training import Place, refusal_of
from core.machine import find_hardware
from core.models import is_hub_id, model_folder, resolve_model, spec_of_folder
from core.models.download import download_job, start_download
from core.presets import choose_preset, preset_named
from core.recipe import Recipe, load_yaml, parse_recipe
from core.runs.data import scan_data
from core.runs.progress import read_progress
from core.runs.run import Run, create_run, finished_checkpoints, open_run, start_training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"methods that a recipe may name:\n{method_lines(trained=True)}"
    parser.add_argument("recipe", metavar="RECIPE.yaml|RUN", help="recipe file, or a run to resume")


def run(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """Train a recipe file to its end, or resume a run that is named instead of a file."""
    target = Path(args.recipe).expanduser()
    if target.is_file():
        recipe = recipe_file(target, home)
        if is_hub_id(recipe.model) and not model_folder(home, recipe.model).is_dir():
            follow(download_job(home, recipe.model), lambda: start_download(home, recipe.model))
        started, resume = checked_run(home, recipe), False
    else:
        started = open_run(home, args.recipe)
        resume = bool(finished_checkpoints(started))
    train(home, started, resume)
    return _summary(started)


def recipe_file(path: Path, home: Home | None = None) -> Recipe:
    """A recipe may leave out what a preset says: the one it names, else the one for this machine."""
    values = load_yaml(path)
    named = str(values.get("preset") or "")
    preset = preset_named(named, home) if named else choose_preset(find_hardware())[0]
    # paths in a recipe are meant from the recipe's own folder
    for key in {"data", "heldout", "model"} & values.keys():
        values[key] = _from_folder(path.parent, values[key])
    return parse_recipe({**preset.settings, "preset": preset.key, **values}, str(path))


def _from_folder(folder: Path, value: Any) -> Any:
    """A path (or a list of them) that exists below `folder`, whole; anything else as it is."""
    if isinstance(value, list):
        return [_from_folder(folder, item) for item in value]
    if isinstance(value, str) and (folder / value).exists():
        return str((folder / value).resolve())
    return value


def checked_run(home: Home, recipe: Recipe) -> Run:
    """A run of a recipe; what is wrong with recipe, model or data is said before there is one."""
    folder = resolve_model(home, recipe.model)
    device = Place.of(find_hardware(home.root)).device
    if problem := refusal_of(recipe, device, spec_of_folder(home, folder, print)):
        raise UserError(problem)
    scan_data(home, recipe)
    return create_run(home, recipe)


def train(home: Home, started: Run, resume: bool = False) -> None:
    """Train a run to its end; what its worker says is printed."""
    print(f"Run {started.folder}", flush=True)
    follow(started.folder, lambda: start_training(home, started, resume))


def _summary(trained: Run) -> dict[str, Any]:
    progress = read_progress(trained)
    return {
        "run": str(trained.folder),
        "adapter": str(trained.adapter),
        "status": progress.job.status,
        **progress.summary,
    }
