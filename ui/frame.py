"""The frame around the steps: header with the running job, the walk of six steps, the card of choices."""

from __future__ import annotations

from pathlib import Path

from core.base.errors import UserError
from core.base.jobs import JobState
from core.models import model_name
from core.recipe import Recipe
from core.runs.run import Progress, active_run
from ui.bench import Bench
from ui.choices import Choices
from ui.fit_views import card_fit, card_time
from ui.html import duration, esc, meter

STEPS = {
    "model": "Model",
    "data": "Data",
    "preset": "Preset",
    "train": "Train",
    "export": "Export",
    "chat": "Chat",
}


def nav_html() -> str:
    """The six steps as links; frame.js marks the current one. Every step can be reached at any time."""
    items = "".join(
        f'<li><a id="nav-{key}" href="#{key}"><span aria-hidden="true">{number}</span>{title}</a></li>'
        for number, (key, title) in enumerate(STEPS.items(), 1)
    )
    return f'<nav aria-label="Steps"><ol>{items}</ol></nav>'


def header_html(bench: Bench) -> str:
    """Name, hardware, the job that runs now (a link to its step), light or dark."""
    return (
        '<header class="lg-header"><h1>LoRA Garage</h1>'
        f'<p id="lg-hardware" class="lg-hardware">{esc(bench.hardware.headline)}</p>'
        f'<div id="lg-job" class="lg-job">{job_html(bench)}</div>'
        '<button type="button" id="lg-theme" class="lg-quiet" data-theme-toggle>Dark</button></header>'
    )


def job_html(bench: Bench) -> str:
    """The running job in a few words, a link to the step where it is looked after."""
    run = active_run(bench.home)
    if run is not None:
        return _job_link("train", *training_words(bench.progress(run)))
    exporting = bench.running_export()
    if exporting is not None:
        return _job_link("export", "Exporting", exporting.progress, exporting.stage)
    return ""


def _job_link(step: str, verb: str, share: float | None, detail: str) -> str:
    words = f"{verb} · {detail}" if detail else verb
    return f'<a href="#{step}">{esc(words)}</a>{meter(share, verb)}'


def training_words(progress: Progress) -> tuple[str, float | None, str]:
    """What the header says about a running training: verb, share done, detail."""
    if not progress.total_steps:
        return "Starting", None, progress.job.stage
    left = f", {duration(progress.eta_s)} left" if progress.eta_s else ""
    share = progress.step / progress.total_steps
    return "Training", share, f"step {progress.step} of {progress.total_steps}{left}"


def card_html(bench: Bench) -> str:
    """The choices so far; each line leads back to its step."""
    choices = bench.choices()
    try:
        recipe: Recipe | None = bench.recipe_so_far()
    except UserError:
        recipe = None
    lines = [
        ("model", "Model", model_words(choices)),
        ("data", "Data", data_words(choices)),
        ("preset", "Preset", bench.preset()[0].title),
        ("preset", "Method", recipe_words(recipe, choices)),
    ]
    took = card_time(bench)
    after = [("preset", "Time", took)] if took else []
    run = bench.run()
    if run is not None:
        after.append(("train", "Run", f"{run.name} · {status_words(run.state())}"))
    rows = _lines(lines) + _memory_line(bench) + _lines(after)
    short = f"{model_words(choices).removesuffix(' (starter)')} · {data_words(choices)}"
    summary = f"<summary>Your choices<small>{esc(short)}</small></summary>"
    return f'<details id="lg-card" class="lg-card" open>{summary}<ul>{rows}</ul></details>'


def _lines(lines: list[tuple[str, str, str]]) -> str:
    """Lines of the card: the step that each leads to, its label, its words."""
    return "".join(
        f'<li><a href="#{step}"><span>{label}</span><b>{esc(words)}</b></a></li>'
        for step, label, words in lines
    )


def _memory_line(bench: Bench) -> str:
    """The fit meter in small; nothing while nobody knows."""
    meter = card_fit(bench)
    return (
        f'<li><a href="#preset"><span>Memory</span><div id="card-fit">{meter}</div></a></li>' if meter else ""
    )


def model_words(choices: Choices) -> str:
    if choices.model_kind == "starter":
        return "SmolLM2 135M (starter)"
    # a folder of the Hugging Face cache is named after its repository, not after its snapshot
    name = model_name(Path(choices.folder)) if choices.model_kind == "folder" else choices.model
    return name.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1] or "not chosen yet"


def data_words(choices: Choices) -> str:
    if choices.data_kind == "sample":
        return "Sample"
    names = choices.files if choices.data_kind == "file" else [choices.data]
    first = names[0].rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1] if names else ""
    return f"{first} and {len(names) - 1} more" if len(names) > 1 else first or "not chosen yet"


def recipe_words(recipe: Recipe | None, choices: Choices) -> str:
    if recipe is None:
        return "needs a look"
    changed = f", {len(choices.changes)} changed" if choices.changes else ""
    return f"{recipe.method_title}, rank {recipe.rank}{changed}"


def status_words(state: JobState) -> str:
    """A job's status as one or two words."""
    return {
        "none": "not started",
        "starting": "starting",
        "running": "training",
        "done": "finished",
        "stopped": "stopped",
        "failed": "failed",
        "died": "died",
    }[state.status]
