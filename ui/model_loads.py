"""Downloads of other models than the chosen one, so that what runs is found again and can be stopped."""

from __future__ import annotations

from core.base.jobs import JobState, read_job
from ui.bench import Bench
from ui.html import button, esc, meter, size


def loads_html(bench: Bench) -> str:
    """One line for each download that runs."""
    folder = bench.home.models / ".downloads"
    chosen = bench.choices().model
    lines = []
    for place, job in enumerate(sorted(folder.glob("*/state.json"))):
        name = job.parent.name.replace("--", "/", 1)
        state = read_job(job.parent)
        if state.active and name != chosen:
            lines.append(_line(place, name, state))
    title = '<h3 class="lg-loads-title">Also downloading</h3>' if lines else ""
    return title + "".join(lines)


def _line(place: int, name: str, state: JobState) -> str:
    done, total = state.fields.get("bytes") or 0, state.fields.get("total") or 0
    words = f"{size(done)} of {size(total)}" if total else state.stage
    stop = button(f"model-stop-{place}", "stop-download", "Stop", "quiet", name)
    return (
        f'<div class="lg-load"><b>{esc(name)}</b><span>{esc(words)}</span>'
        f"{meter(state.progress, f'Download of {esc(name)}')}{stop}</div>"
    )
