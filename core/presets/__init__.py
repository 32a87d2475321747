"""Presets: one YAML file per class of hardware, plain data, turned into a Recipe; and a person's own.

Imports core.base, the Recipe and core.machine. A new class of hardware is one file in presets/.
"""

from core.presets.choose import (
    choose_preset,
    load_presets,
    preset_for,
    preset_named,
    suggested_models,
    usual_epochs,
    usual_learning_rate,
)
from core.presets.preset import (
    Match,
    Preset,
    delete_preset,
    import_preset,
    load_preset,
    own_presets,
    preset_knobs,
    save_preset,
)

__all__ = [
    "Match",
    "Preset",
    "choose_preset",
    "delete_preset",
    "import_preset",
    "load_preset",
    "load_presets",
    "own_presets",
    "preset_for",
    "preset_knobs",
    "preset_named",
    "save_preset",
    "suggested_models",
    "usual_epochs",
    "usual_learning_rate",
]
