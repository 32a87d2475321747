"""The calibration worker: `python -m core.train.calibrate FOLDER --home HOME`.

Measures for some seconds how fast this machine trains an adapter on frozen layers, and keeps the operations
a second; with them the time of any model can be told before its first run.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.base.home import open_home
from core.base.jobs import Worker
from core.fit import Place
from core.fit.calibration import write_calibration
from core.machine import find_hardware
from core.methods.settle import Device, settle
from core.recipe import Recipe
from core.train.device import find_device, set_environment

# layers of a middle-sized model: (inputs, outputs) of each
_LAYERS = ((1024, 1024), (1024, 4096), (4096, 1024))
_RANK = 16
TOKENS = {"cpu": 512, "mps": 1024, "cuda": 4096, "xpu": 4096}
_PATIENCE_S = 4.0
_TIMES = 20
# what attention, norms, the loss, the optimizer and Python leave of it in a real training: SmolLM2 135M's
# 114 tokens/s (LoRA, float32, two cores) are 65 GFLOP/s, where this measured 200; larger layers reach more
_REACHED = 0.4


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure this machine.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path, required=True)
    args = parser.parse_args(arguments)
    with Worker(args.folder.resolve()) as worker:
        home = open_home(args.home)
        set_environment()
        device = find_device()
        precision = settle(Recipe(), device)[0].precision
        rate = measure(device, precision) * _REACHED
        hardware = find_hardware(home.root)
        place = Place.of(replace(hardware, gpus=()) if device.kind == "cpu" else hardware)
        write_calibration(home, place.name, rate)
        worker.say("measured", operations_per_s=rate, device=device.name, precision=precision)


def measure(device: Device, precision: str, patience_s: float = _PATIENCE_S) -> float:
    """Operations a second of frozen layers with an adapter, forward and back; the best of some rounds."""
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    make = {"device": device.kind, "dtype": dtype}
    layers = [(torch.randn(o, i, **make) / i**0.5, *_adapter(i, o, make)) for i, o in _LAYERS]
    tokens = torch.randn(TOKENS[device.kind], _LAYERS[0][0], **make, requires_grad=True)
    operations = 4 * tokens.shape[0] * sum(i * o for i, o in _LAYERS)
    best, end = float("inf"), time.perf_counter() + patience_s
    for _ in range(_TIMES):
        start = time.perf_counter()
        _step(torch, tokens, layers)
        _wait(torch, device)
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() > end:
            break
    return operations / best


def _adapter(inputs: int, outputs: int, make: dict[str, Any]) -> tuple[Any, Any]:
    """The two matrices of a LoRA, trained."""
    import torch

    down = torch.randn(_RANK, inputs, **make).div_(inputs**0.5).requires_grad_()
    return down, torch.zeros(outputs, _RANK, **make).requires_grad_()


def _step(torch: Any, tokens: Any, layers: list[tuple[Any, Any, Any]]) -> None:
    linear, values = torch.nn.functional.linear, tokens
    for weight, down, up in layers:
        values = torch.nn.functional.silu(linear(values, weight) + linear(linear(values, down), up))
    values.float().square().mean().backward()


def _wait(torch: Any, device: Device) -> None:
    """Until the GPU is done: it computes while Python goes on."""
    if device.kind != "cpu":
        getattr(torch, device.kind).synchronize()


if __name__ == "__main__":
    main()
