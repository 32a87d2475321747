"""Which preset suits the hardware, and why, in a sentence."""

from __future__ import annotations

from core.machine import Gpu, Hardware, refusal
from core.presets.preset import Preset
from core.presets.shelf import load_presets, preset_named

# Unsloth computes these families in float32 on cards without bfloat16: slow, and twice the memory
_NEED_BF16 = ("gemma-3", "gemma-4", "gpt-oss", "qwen3.5")


def choose_preset(hardware: Hardware) -> tuple[Preset, str]:
    """The preset for the card that will train (else the CPU's), and the reason in words."""
    gpu = hardware.best_gpu
    if gpu is None:
        return preset_named("cpu"), f"{hardware.headline}. The CPU preset is for that."
    problem = refusal(gpu, hardware)
    if problem:
        return preset_named("cpu"), f"{problem} So the CPU preset is chosen."
    fitting = (preset for preset in load_presets() if preset.hardware and preset.hardware.fits(gpu))
    chosen = max(fitting, key=lambda preset: preset.gpu_gib)
    return chosen, f"{_what(gpu)}: the preset “{chosen.title}”.{_maths(gpu)}"


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
