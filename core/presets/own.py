"""A person's own presets: one file each in the home folder, to save, replace, delete, and share."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from core.base.errors import UserError
from core.base.files import write_atomic
from core.base.home import Home
from core.presets.preset import Preset, load_preset, parse_preset, preset_knobs
from core.recipe import Recipe

# so a key is never the name of a preset of ours, nor of a device on Windows (con, nul)
_PREFIX = "my-"
_LONGEST_KEY = 40
_LONGEST_TITLE = 50
# ours have less than 1 kB
_LARGEST_FILE = 64 * 1024


def own_presets(home: Home) -> tuple[list[Preset], list[str]]:
    """The person's presets by name, and a sentence for each file that can't be used."""
    found, problems = [], []
    for path in sorted(home.presets.glob(f"{_PREFIX}*.yaml")):
        try:
            found.append(_read(path))
        except UserError as problem:
            problems.append(str(problem))
    return sorted(found, key=lambda preset: preset.title.casefold()), problems


def save_preset(
    home: Home, name: str, recipe: Recipe, about: str = "", gpu_gib: float = 0, overwrite: bool = False
) -> Preset:
    """Keep a recipe's settings under a name, without its model and data. `gpu_gib` says for which class of
    card (0: any). A name that is taken is a UserError unless it may be overwritten."""
    values = recipe.model_dump(mode="json")
    settings = {knob: values[knob] for knob in preset_knobs()}
    file = {"title": name, "about": about or _about(recipe), "gpu_gib": gpu_gib, "settings": settings}
    preset = parse_preset(file, own_key(name), f"“{name}”", own=True)
    if _path(home, preset.key).exists() and not overwrite:
        raise UserError(
            f"You have a preset “{preset.title}” already. Choose it to change it, or take another name."
        )
    return _write(home, preset)


def delete_preset(home: Home, key: str) -> None:
    """Delete one of the person's own; ours stay."""
    _own_file(home, key).unlink()


def import_preset(home: Home, path: Path) -> Preset:
    """Take a preset file from elsewhere; where its name is taken here, a number is put after it."""
    preset = _read(path)
    number = 1
    while _path(home, own_key(preset.title, number)).exists():
        number += 1
    title = preset.title if number == 1 else f"{preset.title[:_LONGEST_TITLE]} {number}"
    return _write(home, replace(preset, key=own_key(preset.title, number), title=title))


def own_key(name: str, number: int = 1) -> str:
    """The file's name for a title: `my-pirate-8-gb` for “Pirate, 8 GB”."""
    words = re.sub(r"[^\w]+", "-", name.casefold()).strip("-_")[:_LONGEST_KEY].strip("-_")
    if not words:
        raise UserError("A preset needs a name with at least one letter or digit.")
    return f"{_PREFIX}{words}" + (f"-{number}" if number > 1 else "")


def _about(recipe: Recipe) -> str:
    return (
        f"{recipe.method_title}, rank {recipe.rank}, length {recipe.max_length:,}, "
        f"{recipe.micro_batch} × {recipe.accumulate} rows a step."
    )


def _read(path: Path) -> Preset:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"The preset file {path} can't be read ({error.strerror}).") from error
    if size > _LARGEST_FILE:
        raise UserError(f"{path} is no preset: it has {size:,} bytes, and a preset has less than 2,000.")
    return load_preset(path, own=True)


def _write(home: Home, preset: Preset) -> Preset:
    write_atomic(_path(home, preset.key), preset.to_yaml())
    return preset


def _own_file(home: Home, key: str) -> Path:
    path = _path(home, key)
    if not key.startswith(_PREFIX) or path.parent != home.presets or not path.is_file():
        raise UserError(f"You have no preset “{key}” of your own.")
    return path


def _path(home: Home, key: str) -> Path:
    return home.presets / f"{key}.yaml"
