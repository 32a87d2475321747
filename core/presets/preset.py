"""One preset: its hardware, the models that suit it, its settings; and those that a person keeps at home."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.base.errors import UserError
from core.base.files import write_atomic
from core.base.home import Home
from core.base.plain_yaml import dump_yaml, load_yaml
from core.machine import Gpu
from core.recipe import Recipe, knobs, parse_recipe, problems_of

# the rest of a recipe says what one run is about: its name, model and data
_GROUPS = ("Engine", "Adapter", "Data", "Training", "Checks")
_MODEL_ID = re.compile(r"\w[\w.-]{0,95}(/\w[\w.-]{0,95})?")


class Match(BaseModel):
    """The hardware that a preset is for, as the hardware itself tells: the maker, and the memory in GiB.

    A card's driver reports a little less than the box says, and a card for servers less again where its
    memory checks itself (ECC): a 24 GB A10 has 22.5 GiB. `cpu` means no card; there it is the RAM.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    vendor: Literal["cpu", "nvidia", "amd", "intel", "apple"]
    from_gib: float = Field(ge=0)
    below_gib: float = Field(math.inf, gt=0)
    bf16: bool | None = None

    @model_validator(mode="after")
    def _has_room(self) -> Match:
        if self.from_gib >= self.below_gib:
            raise ValueError("from_gib must be less than below_gib")
        return self

    def fits(self, gpu: Gpu) -> bool:
        """Whether the preset is made for such a card."""
        memory = self.from_gib <= gpu.class_gib < self.below_gib
        return memory and self.vendor == gpu.vendor and self.bf16 in (None, gpu.bf16)


class PresetFile(BaseModel):
    """What a preset's file may hold."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=60)
    about: str = Field("", max_length=300)
    gpu_gib: float = Field(0, ge=0, le=4096)
    hardware: Match | None = None
    models: list[str] = Field(default_factory=list, max_length=24)
    settings: dict[str, Any]

    @field_validator("title", "about")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("must be one line of ordinary text")
        return value.strip()

    @field_validator("models")
    @classmethod
    def _ids(cls, value: list[str]) -> list[str]:
        if not all(_MODEL_ID.fullmatch(name) for name in value):
            raise ValueError("must be ids like Qwen/Qwen3-4B")
        return value

    @field_validator("settings")
    @classmethod
    def _belong_here(cls, value: dict[str, Any]) -> dict[str, Any]:
        foreign = sorted(map(str, value.keys() & (Recipe.model_fields.keys() - set(preset_knobs()))))
        if foreign:
            raise ValueError(f"can't hold {', '.join(foreign)}: that belongs to a run, not to a preset")
        return value


@dataclass(frozen=True)
class Preset:
    """`key` is the file's name; `gpu_gib` the class of card it is meant for (0: no GPU).

    `hardware` is None, and `own` true, for one that a person has saved: it is never chosen by itself.
    """

    key: str
    title: str
    about: str
    gpu_gib: float
    settings: dict[str, Any]
    hardware: Match | None = None
    models: tuple[str, ...] = ()
    own: bool = False

    @property
    def vendor(self) -> str:
        """`cpu`, `nvidia`, `amd`, `intel`, `apple`; empty for a person's own."""
        return self.hardware.vendor if self.hardware else ""

    def recipe(self, **changes: Any) -> Recipe:
        """The preset's Recipe, with the run's own choices (model, data, …) on top."""
        return parse_recipe({**self.settings, "preset": self.key, **changes}, f"Preset {self.key}")

    def to_yaml(self) -> str:
        """The file that others can import."""
        values: dict[str, Any] = {"title": self.title, "about": self.about, "gpu_gib": self.gpu_gib}
        if self.models:
            values["models"] = list(self.models)
        values["settings"] = self.settings
        return dump_yaml(values)


def load_preset(path: Path, own: bool = False) -> Preset:
    """Read one preset file; its settings are checked against the Recipe right away."""
    return parse_preset(load_yaml(path), path.stem, str(path), own)


def parse_preset(values: dict[str, Any], key: str, where: str, own: bool = False) -> Preset:
    """A Preset from plain values; a UserError lists everything in them that is wrong."""
    try:
        file = PresetFile.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where} is no preset: {problems_of(error)}.") from error
    parse_recipe(file.settings, f"{where}, settings")
    return Preset(
        key=key,
        title=file.title,
        about=file.about,
        gpu_gib=file.gpu_gib,
        settings=file.settings,
        hardware=None if own else file.hardware,
        models=tuple(file.models),
        own=own,
    )


@cache
def preset_knobs() -> tuple[str, ...]:
    """The settings that a preset may hold: all but those that say what one run is about."""
    return tuple(name for name, knob in knobs().items() if knob["group"] in _GROUPS)


# ----- a person's own: one file each in the home folder, to save, replace, delete, and share

# so a key is never the name of a preset of ours, nor of a device on Windows (con, nul)
_PREFIX = "my-"
_LONGEST_KEY = 40
_LONGEST_TITLE = 50
# ours have less than 1 kB
_LARGEST_FILE = 64 * 1024


def own_presets(home: Home) -> tuple[list[Preset], list[str]]:
    """The person's presets by name, and a sentence for each file that can't be used."""
    presets, problems = [], []
    for path in sorted(home.presets.glob(f"{_PREFIX}*.yaml")):
        try:
            presets.append(_read(path))
        except UserError as problem:
            problems.append(str(problem))
    return sorted(presets, key=lambda preset: preset.title.casefold()), problems


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
