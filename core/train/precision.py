"""Which device trains, in which number format, and why."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from core.recipe import Recipe

Precision = Literal["fp32", "bf16", "fp16"]
# bfloat16 in hardware is faster than float32; emulated it is several times slower
_WORTH_IT = 1.0


@dataclass(frozen=True)
class Device:
    """What the maths runs on. `bf16_cost` is bfloat16's time over float32's, measured, on a CPU."""

    kind: Literal["cpu", "cuda", "xpu", "mps"]
    name: str
    bf16: bool
    bf16_cost: float | None = None


def find_device() -> Device:
    """The GPU if torch can use one, otherwise the CPU."""
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        # on AMD the capability numbers mean something else; there torch knows better
        bf16 = torch.cuda.is_bf16_supported() if torch.version.hip else properties.major >= 8
        return Device("cuda", properties.name, bf16)
    if torch.xpu.is_available():
        return Device("xpu", torch.xpu.get_device_name(0), torch.xpu.is_bf16_supported())
    if torch.backends.mps.is_available():
        return Device("mps", "Apple GPU", False)
    cost = measure_bf16_cost()
    return Device("cpu", "CPU", cost < _WORTH_IT, cost)


def measure_bf16_cost() -> float:
    """Time of a bfloat16 matrix product over that of a float32 one on this CPU; takes some milliseconds."""
    import torch

    wide = torch.ones(384, 384)

    def best(matrix: torch.Tensor) -> float:
        times = []
        for _ in range(4):
            start = time.perf_counter()
            torch.mm(matrix, matrix)
            times.append(time.perf_counter() - start)
        return min(times)

    return best(wide.to(torch.bfloat16)) / best(wide)


def pick_precision(recipe: Recipe, device: Device) -> tuple[Precision, str]:
    """The number format, and the reason as a clause: `("bf16", "RTX 4090 computes in bfloat16")`."""
    best, reason = _best_for(device)
    wanted = recipe.precision
    if wanted in ("auto", best):
        return best, reason
    if wanted == "bf16" and not device.bf16:
        return best, f"the recipe asks for bf16, but {reason}"
    if wanted == "fp16" and device.kind != "cuda":
        return (
            best,
            f"the recipe asks for fp16, but only CUDA GPUs train in it; {reason}",
        )
    return wanted, "the recipe asks for it"


def _best_for(device: Device) -> tuple[Precision, str]:
    if device.kind == "mps":
        return "fp32", "float32 is the safe choice on Apple GPUs"
    if device.kind == "cuda" and not device.bf16:
        return "fp16", f"{device.name} is too old for bfloat16"
    if device.kind == "xpu" and not device.bf16:
        return "fp32", f"{device.name} does not compute in bfloat16"
    if device.kind in ("cuda", "xpu"):
        return "bf16", f"{device.name} computes in bfloat16"
    if device.bf16:
        return "bf16", "this CPU computes in bfloat16"
    cost = f" ({device.bf16_cost:.0f} times slower)" if device.bf16_cost and device.bf16_cost >= 2 else ""
    return "fp32", f"this CPU emulates bfloat16{cost}"
