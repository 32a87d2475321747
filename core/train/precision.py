"""Which device trains, as torch says and a measurement shows."""

from __future__ import annotations

import time
from importlib.util import find_spec

from core.methods.settle import Device

# bfloat16 in hardware is faster than float32; emulated it is several times slower
_WORTH_IT = 1.0


def find_device(unsloth: str = "") -> Device:
    """The GPU if torch can use one, otherwise the CPU. `unsloth`: why Unsloth can't be had."""
    import torch

    have = {"unsloth": unsloth, "flash": find_spec("flash_attn") is not None}
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        # on AMD the capability numbers mean something else; there torch knows better
        bf16 = torch.cuda.is_bf16_supported() if torch.version.hip else properties.major >= 8
        return Device("cuda", properties.name, bf16, **have)
    if torch.xpu.is_available():
        return Device("xpu", torch.xpu.get_device_name(0), torch.xpu.is_bf16_supported(), **have)
    if torch.backends.mps.is_available():
        return Device("mps", "Apple GPU", False, **have)
    cost = measure_bf16_cost()
    return Device("cpu", "CPU", cost < _WORTH_IT, cost, **have)


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
