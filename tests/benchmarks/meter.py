"""How long the server takes for a change of the fit meter: `python -m tests.benchmarks.meter`.

The goal is 50 ms a change. Uses a new home folder, the sample data, and a model of the catalogue.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from core.base.home import open_home
from ui import fit_views, frame, preset, preset_cards, preset_machine, preset_own
from ui.bench import Bench

MODEL = "Qwen/Qwen3-8B"
CHANGES = 40
VIEWS = (
    preset_machine.machine_html,
    preset_cards.cards_html,
    preset_own.own_html,
    fit_views.meter_view,
    fit_views.knobs_view,
    fit_views.more_view,
    fit_views.parts_view,
    preset.words_html,
    preset.settings_html,
    preset.next_html,
    frame.header_html,
    frame.card_html,
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(open_home(Path(folder)))
        bench.choose(model_kind="catalogue", catalogue=MODEL)
        show("a slider that moves", lambda number: _slide(bench, number))
        show("a setting that is kept, and the whole step", lambda number: _keep(bench, number))


def show(what: str, change: Callable[[int], None]) -> None:
    """One line: the median and the longest of many changes, after a first one that fills the caches."""
    change(0)
    took = []
    for number in range(1, CHANGES + 1):
        start = time.perf_counter()
        change(number)
        took.append(1000 * (time.perf_counter() - start))
    print(f"{what:<45} median {statistics.median(took):6.1f} ms   longest {max(took):6.1f} ms")


def _slide(bench: Bench, number: int) -> None:
    fit_views.preview(bench, {"rank": 8 + number, "max_length": 512 + 64 * number})


def _keep(bench: Bench, number: int) -> None:
    preset.on_edit(bench, "rank", str(8 + number))
    for view in VIEWS:
        view(bench)


if __name__ == "__main__":
    main()
