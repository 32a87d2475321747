"""The memory estimate beside measured peaks on a CUDA GPU: `python -m tests.gpu.memory [--models ID …]`.

Writes models of the catalogue's shapes with random weights (they take the memory of the real ones; nothing
is downloaded), trains each for a few steps through the real worker with several recipes, and prints model,
recipe, estimate, measured peak and error; `--keep` writes them to results/. Exit code 2 and a sentence where
there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.files import write_json
from core.base.home import Home, open_home
from core.base.jobs import request_stop, wait_job
from core.fit import Lengths, Place
from core.fit.answer import Fit
from core.machine import GIB, Gpu
from core.models import find_spec
from core.models.starter import ensure_starter
from core.presets import preset_named
from core.recipe import Recipe
from core.runs.progress import read_progress
from core.runs.run import create_run, start_training
from tests.gpu.demo import RESULTS, require_gpu

MODELS = ("Qwen/Qwen2.5-0.5B-Instruct", "meta-llama/Llama-3.2-1B-Instruct", "Qwen/Qwen3-4B")
PRESET = "gpu-08gb"
STEPS = 3
LIMIT_S = 240
# what each recipe changes of the preset: lengths, checkpointing, batch, a whole base, rank, the plain engine
RECIPES: tuple[dict[str, Any], ...] = (
    {"max_length": 1024},
    {"max_length": 4096},
    {"max_length": 2048, "micro_batch": 4, "accumulate": 2},
    {"max_length": 1024, "rank": 64, "alpha": 64, "optimizer": "adamw_torch"},
    {"max_length": 1024, "quantization": "none"},
    {"max_length": 1024, "checkpointing": "none"},
    {"max_length": 1024, "engine": "peft", "checkpointing": "hf"},
    {"max_length": 1024, "engine": "peft", "checkpointing": "none"},
)


@dataclass(frozen=True)
class Point:
    """One run: estimate and measured peak in GiB."""

    model: str
    recipe: str
    engine: str
    estimated: float
    measured: float
    tokens_per_s: float

    @property
    def error(self) -> float:
        return self.estimated / self.measured - 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS, help="ids of the catalogue")
    parser.add_argument("--keep", action="store_true", help=f"write the numbers to {RESULTS.name}/")
    args = parser.parse_args()
    try:
        gpu = require_gpu()
        with tempfile.TemporaryDirectory(prefix="lora-garage-gpu-") as folder:
            points = measure(open_home(folder), gpu, args.models)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    mean = sum(abs(point.error) for point in points) / max(len(points), 1)
    print(f"{len(points)} runs, mean error {mean:.1%}, worst {max(abs(p.error) for p in points):.1%}")
    if args.keep:
        name = re.sub(r"[^a-z0-9]+", "-", gpu.name.lower()).strip("-")
        RESULTS.mkdir(exist_ok=True)
        write_json(RESULTS / f"memory-{name}.json", [asdict(point) for point in points])
    return 0


def measure(home: Home, gpu: Gpu, models: list[str]) -> list[Point]:
    """Every recipe on every model, a line each."""
    points = []
    print(f"{gpu.name}, {gpu.total_gib:.0f} GiB, driver {gpu.driver}")
    for model in models:
        folder = make_model(home, model)
        data = make_data(home, 16 * 1024)
        for changes in RECIPES:
            recipe = preset_named(PRESET).recipe(
                model=str(folder), data=str(data), max_steps=STEPS, heldout_share=0, **changes
            )
            point = run_one(home, gpu, model, recipe, changes)
            points.append(point)
            print(
                f"{point.model:34} {point.recipe:60} {point.engine:8} {point.estimated:7.2f} GiB "
                f"{point.measured:7.2f} measured {point.error:+7.1%}",
                flush=True,
            )
        shutil.rmtree(folder)
    return points


def make_model(home: Home, model: str) -> Path:
    """A model folder of the catalogue's shapes with random 16-bit weights and the starter's tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from core.models.catalogue import catalogue_model

    folder = home.models / model.replace("/", "--")
    settings = dict(catalogue_model(model).config)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    starter = ensure_starter(home)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (starter / name).is_file():
            shutil.copy(starter / name, folder / name)
    return folder


def make_data(home: Home, words: int) -> Path:
    """Rows longer than any maximum length here, so that each fills it."""
    row = {"prompt": "Count.", "completion": " ".join(str(number) for number in range(words // 2))}
    file = home.datasets / "long.jsonl"
    file.write_text("\n".join(json.dumps(row | {"prompt": f"Count, {n}."}) for n in range(64)), "utf-8")
    return file


def run_one(home: Home, gpu: Gpu, model: str, recipe: Recipe, changes: dict[str, Any]) -> Point:
    """Train a few steps; the estimate is the formula's own, before any correction."""
    place = Place(gpu, gpu.total, 0)
    full = Lengths(recipe.max_length, recipe.max_length, recipe.max_length)
    clean = open_home(home.root / "clean")
    estimated = Fit.of(clean, recipe, find_spec(home, recipe.model, print), place, full).estimate
    run = create_run(home, recipe)
    start_training(home, run)
    state = wait_job(run.folder, LIMIT_S)
    if state.active:
        request_stop(run.folder)
    if state.status != "done":
        raise UserError(f"{model}, {changes}: {state.message}\n{run.log_tail()}")
    summary = read_progress(run).summary
    words = ", ".join(f"{name} {value}" for name, value in changes.items())
    return Point(
        model,
        words,
        summary["engine"],
        round(estimated.total / GIB, 3),
        round(summary["peak_memory"] / GIB, 3),
        summary["tokens_per_s"],
    )


if __name__ == "__main__":
    sys.exit(main())
