"""The presets that come with the app (presets/*.yaml): which suits the hardware, what data and model want."""

from __future__ import annotations

from functools import cache

from core.base.errors import UserError
from core.base.home import APP_FOLDER, Home
from core.machine import Gpu, Hardware, refusal
from core.presets.preset import Preset, load_preset, own_presets

PRESETS = APP_FOLDER / "presets"
# they lie beside the presets, and are none
OTHER_DATA = ("cards", "models")
_VENDORS = ("cpu", "nvidia", "amd", "intel", "apple")
# Unsloth computes these families in float32 on cards without bfloat16: slow, and twice the memory
_NEED_BF16 = ("gemma-3", "gemma-4", "gpt-oss", "qwen3.5")
# Few rows need more passes before anything sticks, many are learned by heart: what good recipes agree on
# (Unsloth's and Axolotl's guides, the QLoRA paper's runs): under 1,000 rows 3, under 10,000 2, more 1.
_EPOCHS = ((1_000, 3.0), (10_000, 2.0))
# QLoRA (Dettmers et al. 2023, appendix B.2): 2e-4 up to 13 B parameters, 1e-4 for 33 B and 65 B
_LARGE = 30e9


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
    presets = {preset.key: preset for preset in load_presets(home)}
    if key not in presets:
        raise UserError(f"There is no preset “{key}”. Choose one of: {', '.join(presets)}.")
    return presets[key]


def choose_preset(hardware: Hardware) -> tuple[Preset, str]:
    """The preset for the card that will train (else the CPU's), and the reason in words."""
    gpu = hardware.best_gpu
    if gpu is None:
        return preset_named("cpu"), f"{hardware.headline}. The CPU preset is for that."
    problem = refusal(gpu, hardware)
    if problem:
        return preset_named("cpu"), f"{problem} So the CPU preset is chosen."
    chosen = preset_for(gpu)
    return chosen, f"{_what(gpu)}: the preset “{chosen.title}”.{_maths(gpu)}"


def preset_for(gpu: Gpu | None) -> Preset:
    """The preset that suits such a card (the CPU's for None); for one below every class its maker's least."""
    vendor = gpu.vendor if gpu else "cpu"
    presets = [preset for preset in load_presets() if preset.vendor == vendor]
    fitting = [preset for preset in presets if gpu and preset.hardware and preset.hardware.fits(gpu)]
    return max(fitting, key=lambda preset: preset.gpu_gib, default=presets[0])


def suggested_models(preset: Preset, gpu: Gpu | None = None) -> tuple[str, ...]:
    """The preset's models, without those that a card without bfloat16 computes badly."""
    if gpu is None or gpu.bf16 or gpu.vendor != "nvidia":
        return preset.models
    return tuple(name for name in preset.models if not any(part in name.lower() for part in _NEED_BF16))


def _what(gpu: Gpu) -> str:
    if gpu.unified:
        return f"{gpu.name} shares {gpu.total_gib:.3g} GB with the machine"
    return f"{gpu.name} has {gpu.total_gib:.3g} GB"


def _maths(gpu: Gpu) -> str:
    """Said where it is not the usual bfloat16."""
    if gpu.vendor == "nvidia" and not gpu.bf16:
        return " It has no bfloat16, so it computes in float16."
    return ""


# ----- what a preset learns only from data and model


def usual_epochs(rows: int) -> tuple[float, str]:
    """Epochs for that many training rows, and why."""
    epochs = next((times for below, times in _EPOCHS if rows < below), 1.0)
    times = {1.0: "once is enough", 2.0: "twice is usual", 3.0: "three times is usual"}[epochs]
    return epochs, f"With {rows:,} rows, {times}."


def usual_learning_rate(parameters: int) -> tuple[float, str]:
    """The adapter's learning rate for a base model of that size, and why."""
    rate = 1e-4 if parameters >= _LARGE else 2e-4
    return rate, f"A model of {parameters / 1e9:.2g} B parameters is usually trained at {rate:g}."
