"""Presets: one YAML file per class of hardware, plain data, turned into a Recipe."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.hardware import Hardware
from core.home import APP_FOLDER
from core.recipe import Recipe, load_yaml, parse_recipe

PRESETS = APP_FOLDER / "presets"
# they lie beside the presets, and are none
OTHER_DATA = ("cards", "models")


@dataclass(frozen=True)
class Preset:
    """`key` is the file's name; `gpu_gib` the smallest card it is meant for (0: no GPU)."""

    key: str
    title: str
    about: str
    gpu_gib: float
    settings: dict[str, Any]

    def recipe(self, **changes: Any) -> Recipe:
        """The preset's Recipe, with the run's own choices (model, data, …) on top."""
        return parse_recipe({**self.settings, "preset": self.key, **changes}, f"Preset {self.key}")


def load_preset(path: Path) -> Preset:
    """Read one preset file; its settings are checked against the Recipe right away."""
    values = load_yaml(path)
    missing = {"title", "about", "gpu_gib", "settings"} - values.keys()
    if missing:
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}.")
    preset = Preset(path.stem, values["title"], values["about"], float(values["gpu_gib"]), values["settings"])
    preset.recipe()
    return preset


@cache
def load_presets() -> list[Preset]:
    """Every preset, from the smallest class of hardware to the largest. They stay while the app runs."""
    files = (path for path in PRESETS.glob("*.yaml") if path.stem not in OTHER_DATA)
    return sorted(map(load_preset, files), key=lambda preset: preset.gpu_gib)


def preset_named(key: str) -> Preset:
    found = {preset.key: preset for preset in load_presets()}
    if key not in found:
        raise UserError(f"There is no preset “{key}”. Choose one of: {', '.join(found)}.")
    return found[key]


def choose_preset(hardware: Hardware) -> tuple[Preset, str]:
    """The largest preset that the hardware has room for, and the reason in words."""
    presets = load_presets()
    gpu = hardware.best_gpu
    if gpu is None:
        return presets[0], f"{hardware.headline}: the CPU preset."
    # a “12 GB” card reports a little less than 12 GiB
    fitting = [preset for preset in presets if 0 < preset.gpu_gib <= gpu.total_gib * 1.05]
    if not fitting:
        return presets[
            0
        ], f"{gpu.name} has {gpu.total_gib:.1f} GiB, less than any GPU preset needs: the CPU preset."
    return fitting[-1], f"{gpu.name} with {gpu.total_gib:.0f} GiB: the {fitting[-1].title} preset."
