"""The main job on a CUDA GPU with the NF4 preset: `python -m tests.gpu.demo [--home DIR] [--keep]`.

Trains the starter on the sample data through the real worker, with Unsloth where it is installed and with
Transformers + PEFT elsewhere, and prints what it measured. Exit code 2 and a sentence where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.home import Home, open_home
from core.base.jobs import request_stop, wait_job
from core.machine import Gpu, find_hardware
from core.presets import preset_named
from core.runs.progress import read_progress
from core.runs.run import Run, create_run, start_training

RESULTS = Path(__file__).parent / "results"
PRESET = "gpu-08gb"
LIMIT_S = 420
FALL = 0.7  # the held-out loss must fall at least to this share


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--home", type=Path, help="keep models and the run here (default: a temporary folder)"
    )
    parser.add_argument("--keep", action="store_true", help=f"write the numbers to {RESULTS.name}/")
    args = parser.parse_args()
    try:
        gpu = require_gpu()
        with tempfile.TemporaryDirectory(prefix="lora-garage-gpu-") as folder:
            numbers = train(open_home(args.home or folder), gpu)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    for name, value in numbers.items():
        print(f"{name:>20}  {value}")
    if args.keep:
        name = re.sub(r"[^a-z0-9]+", "-", gpu.name.lower()).strip("-")
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(numbers, indent=1) + "\n", "utf-8")
    print(json.dumps(numbers))
    return 0


def require_gpu() -> Gpu:
    """The GPU that will train; a UserError where torch can't use one."""
    gpu = find_hardware().best_gpu
    if gpu is None:
        raise UserError(
            "There is no NVIDIA GPU here, so there is nothing to measure. Run it on a machine with one."
        )
    import torch

    if not torch.cuda.is_available():
        raise UserError(f"torch {torch.__version__} can't use the {gpu.name}. Install a CUDA build of torch.")
    return gpu


def train(home: Home, gpu: Gpu) -> dict[str, Any]:
    """One run of the sample with the NF4 preset, to its end; the numbers that it came to."""
    begun = time.monotonic()
    recipe = preset_named(PRESET).recipe(name="gpu-demo")
    run = create_run(home, recipe)
    print(
        f"{gpu.name} ({gpu.total_gib:.0f} GiB, driver {gpu.driver}), preset {PRESET}, run {run.folder}",
        flush=True,
    )
    start_training(home, run)
    state = wait_job(run.folder, LIMIT_S)
    if state.active:
        request_stop(run.folder)
        raise UserError(f"Training was not done after {LIMIT_S} s:\n{run.log_tail()}")
    if state.status != "done":
        raise UserError(f"{state.message}\n{run.log_tail()}")
    return numbers_of(run, gpu, time.monotonic() - begun)


def numbers_of(run: Run, gpu: Gpu, seconds: float) -> dict[str, Any]:
    """What the run's summary says, with the share that is left of the held-out loss."""
    summary = read_progress(run).summary
    recipe = run.recipe
    left = summary["heldout_loss_tuned"] / summary["heldout_loss_base"]
    return {
        "gpu": gpu.name,
        "model": recipe.model,
        "method": f"{recipe.method_title} r={recipe.rank}, {recipe.quantization}, {recipe.target_modules}",
        **{
            key: summary[key]
            for key in ("engine", "reason", "precision", "precision_reason", "steps", "tokens")
        },
        "tokens_per_s": summary["tokens_per_s"],
        "peak_memory_gib": round(summary["peak_memory"] / 2**30, 2),
        "heldout_loss_base": round(summary["heldout_loss_base"], 4),
        "heldout_loss_tuned": round(summary["heldout_loss_tuned"], 4),
        "fell_enough": left <= FALL,
        "seconds": {**summary["seconds"], "all": round(seconds, 1)},
        "versions": recipe.versions,
    }


if __name__ == "__main__":
    sys.exit(main())
