"""The drop-down of runs that stands in Train, Export and Chat."""

from __future__ import annotations

from core.runs.run import Run
from ui.bench import Bench
from ui.frame import status_words
from ui.html import esc


def run_picker(bench: Bench, run: Run, step: str) -> str:
    """All runs, newest first, with `run` selected; a choice triggers `edit` {name: "run"}."""
    options = "".join(
        f'<option value="{esc(item.name)}"{" selected" if item.name == run.name else ""}>'
        f"{esc(item.name)} ({status_words(item.state())})</option>"
        for item in bench.runs()
    )
    return (
        f'<label class="lg-field" for="{step}-run">Run'
        f'<select id="{step}-run" data-name="run">{options}</select></label>'
    )
