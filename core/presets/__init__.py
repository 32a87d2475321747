"""Presets: one YAML file per class of hardware, plain data, turned into a Recipe."""

from core.presets.advice import usual_epochs, usual_learning_rate
from core.presets.choose import choose_preset, suggested_models
from core.presets.own import delete_preset, import_preset, own_presets, save_preset
from core.presets.preset import Match, Preset, load_preset, preset_knobs
from core.presets.shelf import load_presets, preset_named

__all__ = [
    "Match",
    "Preset",
    "choose_preset",
    "delete_preset",
    "import_preset",
    "load_preset",
    "load_presets",
    "own_presets",
    "preset_knobs",
    "preset_named",
    "save_preset",
    "suggested_models",
    "usual_epochs",
    "usual_learning_rate",
]
