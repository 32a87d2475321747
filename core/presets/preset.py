"""One preset: the hardware it is for, the models that suit it, its settings. Read from YAML and checked."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.base.errors import UserError
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
