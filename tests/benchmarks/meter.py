"""How long a change of the fit meter takes, and a scene: `python -m tests.benchmarks.meter`.

The goals: 50 ms for a change, 20 ms for a scene after a change, 5 ms for one in which nothing has changed.
Uses a new home folder, the sample data, and a model of the catalogue; with `--home DIR` what stands there.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from core.base.home import open_home
from tests.ui_page import check_here, drawn, edit, step_named
from ui import data, fit, frame
from ui.bench import Bench
from ui.scene import scene_of

MODEL = "Qwen/Qwen3-8B"
CHANGES = 40


def main() -> None:
    options = argparse.ArgumentParser(description="the fit meter and the scene")
    options.add_argument("--home", type=Path, help="home folder to measure (default: a new one)")
    home = options.parse_args().home
    data.start_check = check_here
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(open_home(home or Path(folder)))
        if home is None:
            bench.choose(model_kind="catalogue", catalogue=MODEL)
        show("a slider that moves", lambda number: _slide(bench, number))
        show("a setting that is kept, and the whole step", lambda number: _keep(bench, number))
        show("a scene after a change", lambda number: _whole(bench), before=lambda n: _set(bench, n))
        show("a scene in which nothing has changed", lambda number: _whole(bench))
        bench.choose(changes={})


def show(what: str, change: Callable[[int], object], before: Callable[[int], None] = lambda n: None) -> None:
    """One line: the median and the longest of many changes, after a first one that fills the memo."""
    change(0)
    took = []
    for number in range(1, CHANGES + 1):
        before(number)
        start = time.perf_counter()
        change(number)
        took.append(1000 * (time.perf_counter() - start))
    print(f"{what:<45} median {statistics.median(took):6.1f} ms   longest {max(took):6.1f} ms")


def _whole(bench: Bench) -> None:
    """Every part of a scene, as a tick with all steps open would ask for them."""
    scene = scene_of(bench)
    for name, part in vars(type(scene)).items():
        if isinstance(part, (property, cached_property)):
            getattr(scene, name)


def _slide(bench: Bench, number: int) -> None:
    fit.preview(bench, {"rank": 8 + number, "max_length": 512 + 64 * number})


def _set(bench: Bench, number: int) -> None:
    edit(bench, "preset", "rank", str(64 + number))


def _keep(bench: Bench, number: int) -> None:
    edit(bench, "preset", "rank", str(8 + number))
    scene = scene_of(bench)
    drawn(scene, *step_named("preset").parts)
    frame.header(scene)
    frame.card(scene)


if __name__ == "__main__":
    main()
