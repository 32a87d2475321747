"""The presets that come with the app (presets/*.yaml), and a person's own beside them."""

from __future__ import annotations

from functools import cache

from core.base.errors import UserError
from core.base.home import APP_FOLDER, Home
from core.presets.own import own_presets
from core.presets.preset import Preset, load_preset

PRESETS = APP_FOLDER / "presets"
# they lie beside the presets, and are none
OTHER_DATA = ("cards", "models")
_VENDORS = ("cpu", "nvidia", "amd", "intel", "apple")


def load_presets(home: Home | None = None) -> list[Preset]:
    """Every preset by maker and memory, the CPU's first; with a home also the person's own, last."""
    return [*_built_in(), *(own_presets(home)[0] if home else ())]


@cache
def _built_in() -> tuple[Preset, ...]:
    """They stay while the app runs."""
    files = (path for path in PRESETS.glob("*.yaml") if path.stem not in OTHER_DATA)
    return tuple(sorted(map(load_preset, files), key=_place))


def _place(preset: Preset) -> tuple[int, float, str]:
    return _VENDORS.index(preset.vendor), preset.gpu_gib, preset.key


def preset_named(key: str, home: Home | None = None) -> Preset:
    """The preset of that name; a person's own are found where `home` is given."""
    found = {preset.key: preset for preset in load_presets(home)}
    if key not in found:
        raise UserError(f"There is no preset “{key}”. Choose one of: {', '.join(found)}.")
    return found[key]
