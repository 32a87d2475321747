"""Which device trains, and what torch must hear before it is loaded: so torch is imported late here."""

from __future__ import annotations

import os
import time
from importlib.util import find_spec

from core.machine import Hardware, find_hardware
from core.methods.settle import Device

# bfloat16 in hardware is faster than float32; emulated it is several times slower
_WORTH_IT = 1.0


def set_environment() -> None:
    """What must be said before torch is loaded. What the user has set already stays."""
    wanted = {
        # everything that a worker needs is here; asking a hub would only cost time
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        # threads that wait must not burn the core that others need: on a busy machine that is 5 times faster
        "OMP_WAIT_POLICY": "PASSIVE",
        # on a CPU oneDNN keeps what it made for each shape of a 16-bit product, 1,024 of them: with rows of
        # every length that grows by 40 MB a step. A step through all layers needs about 40 at a time
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
        "LRU_CACHE_CAPACITY": "64",
        # several GPUs would make the Trainer split batches among them; the best one trains
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        **the_training_gpu(find_hardware()),
    }
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def the_training_gpu(hardware: Hardware) -> dict[str, str]:
    """What leaves torch the one card that trains; an empty list of cards where none of NVIDIA's may."""
    gpu = hardware.training_gpu
    if gpu is not None and gpu.vendor == "nvidia":
        return {"CUDA_VISIBLE_DEVICES": str(gpu.index)}
    if gpu is not None and sum(other.vendor == "amd" for other in hardware.gpus) > 1:
        return {"HIP_VISIBLE_DEVICES": str(gpu.index)}
    refused = gpu is None and any(other.vendor == "nvidia" for other in hardware.gpus)
    return {"CUDA_VISIBLE_DEVICES": ""} if refused else {}


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
