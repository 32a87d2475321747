"""Measures how long `fit` takes: `python -m tests.benchmarks.fit [--rounds 5]`.

Prints a table: the start-up (Python and the front door), the whole command, and what it takes beyond
the start-up (goal: at most 0.3 s); then, inside one process, an estimate (goal: 0.5 ms), a search for what
fits, and one for what is faster. Medians of wall-clock time, and beside them of processor time, which other
programs on a busy machine change less. The exit code is 1 above a goal.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

APP = Path(__file__).resolve().parent.parent.parent
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
AFTER_START_S, ESTIMATE_S = 0.3, 0.0005
START = "import sys, app"
Taken = tuple[float, ...]
RUN = f"{START}; from core.commands import dispatch; sys.exit(dispatch.run(sys.argv[1], sys.argv[2:]))"


def main() -> int:
    """Measure and report; 0 within the goals."""
    options = argparse.ArgumentParser(description="time of the fit command")
    options.add_argument("--rounds", type=int, default=5)
    rounds = options.parse_args().rounds
    with tempfile.TemporaryDirectory() as home:
        command = ["fit", "--model", MODEL, "--gpu", "8", "--batch", "4", "--json", "--home", home]
        start = measured(rounds, partial(run, START, command))
        whole = measured(rounds, partial(run, RUN, command))
    estimate, fit, room = inside(rounds)
    rows = {
        "start-up": (start, None),
        "whole command": (whole, None),
        "after start-up": (tuple(b - a for a, b in zip(start, whole)), AFTER_START_S),
        "one estimate": (estimate, ESTIMATE_S),
        "make it fit": (fit, None),
        "use the room": (room, None),
    }
    print(f"{'':<16}{'wall':>13}{'processor':>13}")
    for name, ((wall, processor), goal) in rows.items():
        said = f"   goal: at most {goal * 1000:g} ms" if goal else ""
        print(f"{name:<16}{wall * 1000:>10.2f} ms{processor * 1000:>10.2f} ms{said}")
    return 0 if all(goal is None or wall <= goal for (wall, _), goal in rows.values()) else 1


def run(code: str, command: list[str]) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    python = [sys.executable, "-c", code, *command]
    done = subprocess.run(python, cwd=APP, env=environment, capture_output=True)
    if done.returncode:
        raise SystemExit(done.stderr.decode())


def measured(rounds: int, work: Callable[[], object], times: int = 1) -> Taken:
    """Median seconds of the work, done `times` times a round; the first round only fills the caches."""
    taken: list[Taken] = []
    for _ in range(rounds + 1):
        began = now()
        for _ in range(times):
            work()
        taken.append(tuple((b - a) / times for a, b in zip(began, now())))
    return tuple(statistics.median(kind) for kind in zip(*taken[1:]))


def now() -> Taken:
    """Wall-clock seconds, and the processor's of this process and its ended children (not on Windows)."""
    spent = os.times()
    return time.perf_counter(), sum(spent[:4])


def inside(rounds: int) -> tuple[Taken, Taken, Taken]:
    """An estimate, make it fit with the whole catalogue, and use the room."""
    from core.fit import Place, estimate_memory
    from core.fit.search import make_it_fit, smaller_models, use_the_room
    from core.machine import card_named, find_hardware
    from core.models import spec_of_config
    from core.models.catalogue import catalogue_model
    from core.recipe import parse_recipe

    spec = spec_of_config(catalogue_model(MODEL).config, MODEL)
    recipe = parse_recipe(
        {"method": "qlora", "max_length": 2048, "micro_batch": 4, "checkpointing": "unsloth"}
    )
    small, large = (Place.of(find_hardware(), card_named(size)) for size in ("4", "80"))
    models = list(smaller_models())
    return (
        measured(rounds, lambda: estimate_memory(recipe, spec, small), 200),
        measured(rounds, lambda: make_it_fit(recipe, spec, small, models=models)),
        measured(rounds, lambda: use_the_room(recipe, spec, large)),
    )


if __name__ == "__main__":
    sys.exit(main())
