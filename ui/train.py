"""Step 4, Train: start, watch, stop, resume. Everything shown is read from the run's folder."""

from __future__ import annotations

from typing import Any

import gradio as gr

from core.base.errors import UserError
from core.fit.workload import Verdict
from core.runs.run import Progress, Run, active_run, start_run, start_training, stop_training
from ui.bench import Bench
from ui.fit import fit_of
from ui.fit_time import time_of, time_words
from ui.fit_words import memory, of_memory, verdict_words
from ui.html import (
    Mark,
    actions,
    button,
    checks,
    count,
    duration,
    esc,
    facts,
    fold,
    heading,
    meter,
    notice,
    primary,
)
from ui.parts import Step, View, panel
from ui.pick import run_picker
from ui.plot import loss_chart

QUESTION = "Train it and watch the loss fall"
HELP = "The loss says how far its answers are from yours: lower is closer. You may close this page meanwhile."
_ENGINES = {"unsloth": "Unsloth", "peft": "Transformers + PEFT"}
_LOG_LINES = 60


def build(bench: Bench) -> Step:
    """Lay the step out."""
    gr.HTML(heading("train", QUESTION, HELP), elem_id="train-heading", apply_default_css=False)
    top = panel("train-panel", first=True)
    chart = loss_chart(bench, "train-chart")
    bottom = panel("train-more")
    views = [View(top, top_html), View(chart, chart_value), View(bottom, bottom_html)]
    return Step("train", views, on_edit, on_act, [top, bottom])


def on_edit(bench: Bench, name: str, value: Any) -> None:
    """Another run is to be looked at."""
    if name == "run":
        bench.choose(run=str(value))


def on_act(bench: Bench, name: str, value: Any) -> None:
    """A button was pressed: start, stop, stop and save, resume."""
    if name == "start":
        start(bench)
        return
    run = bench.run()
    if run is None:
        raise UserError("There is no run yet. Start one first.")
    if name == "stop":
        stop_training(run, "stop")
    elif name == "stop-save":
        stop_training(run, "save")
    elif name == "resume":
        start_training(bench.home, run, resume=bool(bench.progress(run).checkpoints))


def start(bench: Bench) -> Run:
    """Make a run of the choices and train it. A UserError names the run that trains already."""
    busy = active_run(bench.home)
    if busy is not None:
        bench.choose(run="")
        raise UserError(f"“{busy.name}” is training already; here it is. Wait for it, or stop it first.")
    run = start_run(bench.home, bench.recipe())
    bench.choose(run="")
    return run


def chart_value(bench: Bench) -> str:
    """The run whose losses the chart shows; empty hides it."""
    run = bench.run()
    return "" if run is None else run.name


def top_html(bench: Bench) -> str:
    """Which run, how it stands, and the buttons that fit."""
    run = bench.run()
    if run is None:
        return _ready_html(bench)
    progress = bench.progress(run)
    return run_picker(bench, run, "train") + status_html(run, progress) + _buttons(bench, run, progress)


def _ready_html(bench: Bench) -> str:
    try:
        recipe = bench.recipe()
    except UserError as problem:
        step, name = ("data", "Data") if bench.choices().model else ("model", "Model")
        way = f'<a id="train-missing" class="lg-second" href="#{step}">Go to {name}</a>'
        return notice("warn", "Not ready yet", str(problem), way)
    words = f"{recipe.method_title} on the chosen data, {recipe.epochs:g} epochs. "
    words += "Nothing is changed in the base model."
    return checks([("info", words), *_expected(bench)]) + actions(
        _button("start", "Start training", "primary")
    )


def _expected(bench: Bench) -> list[tuple[Mark, str]]:
    """What the run will take, before it starts."""
    try:
        fit = fit_of(bench)
    except UserError:
        return []
    marks: dict[Verdict, Mark] = {"fits": "ok", "tight": "warn", "no": "bad"}
    estimate, run = fit.estimate, time_of(bench, fit)
    words = f"About {of_memory(estimate.total, estimate.usable)} of memory: "
    words += f"{verdict_words(estimate.verdict).lower()}."
    took: list[tuple[Mark, str]] = [("info", time_words(run))] if run is not None else []
    return [(marks[estimate.verdict], words), *took]


def status_html(run: Run, progress: Progress) -> str:
    """The state in a sentence, how far it is, and the numbers."""
    job = progress.job
    total = progress.total_steps
    share = progress.step / total if total else (job.progress if job.active else 0.0)
    bar = meter(share, "Steps done") if job.active or total else ""
    return _state_notice(run, progress) + bar + facts(numbers(progress)) + _engine_html(progress)


def _state_notice(run: Run, progress: Progress) -> str:
    job = progress.job
    log = run.log_tail(25)
    if job.status == "died":
        return notice("bad", "The training has died", f"{job.message} {resume_words(progress)}", details=log)
    if job.status == "failed":
        return notice(
            "bad", "The training has failed", f"{job.message} {resume_words(progress)}", details=log
        )
    if job.status == "stopped":
        return notice("info", "Training is stopped", job.message)
    if job.status == "done":
        return notice("ok", "Training is finished", _done_words(progress))
    if job.active:
        stage = job.stage or "starting"
        return f'<p class="lg-state" role="status">{esc(_STAGES.get(stage, stage.capitalize()))}</p>'
    return notice("info", "This run was not started", "Press Resume to start it.")


_STAGES = {
    "starting": "Starting the worker",
    "preparing": "Preparing the data …",
    "loading": "Loading the model and the data",
    "training": "Training",
    "saving": "Saving the adapter",
}


def resume_words(progress: Progress) -> str:
    """From where a resume would go on."""
    if progress.checkpoints:
        return f"Resume goes on from the checkpoint at step {progress.checkpoints[-1]}."
    return "There is no checkpoint yet, so Resume starts it from the beginning."


def _done_words(progress: Progress) -> str:
    if len(progress.heldout) >= 2:
        first, last = progress.heldout[0][1], progress.heldout[-1][1]
        fall = f", {(1 - last / first):.0%} lower" if last < first else ""
        return f"Held-out loss went from {first:.3f} to {last:.3f}{fall}. Export it next."
    return "Export it next."


def numbers(progress: Progress) -> list[tuple[str, str]]:
    """Step, losses, speed, memory and time left, as far as they are known."""
    items = [("Step", f"{progress.step:,} of {progress.total_steps:,}" if progress.total_steps else "–")]
    items.append(("Loss", f"{progress.points[-1][1]:.3f}" if progress.points else "–"))
    items.append(("Held-out loss", f"{progress.heldout[-1][1]:.3f}" if progress.heldout else "–"))
    items.append(("Speed", f"{progress.tokens_per_s:,.0f} tokens/s" if progress.tokens_per_s else "–"))
    peak = progress.peak_memory or progress.memory
    items.append(("Peak memory", memory(peak) if peak else "–"))
    left = duration(progress.eta_s) if progress.eta_s and progress.job.active else "–"
    doubt = f" ± {progress.eta_spread - 1:.0%}" if progress.eta_spread and left != "–" else ""
    items.append(("Time left", left + doubt))
    return items


def memory_words(progress: Progress) -> str:
    """The measured peak beside what was estimated before the start; empty while one is not known."""
    peak, expected = progress.peak_memory, progress.estimated_memory
    if not peak or not expected:
        return ""
    off = peak / expected - 1
    tense = "so far is" if progress.job.active else "was"
    beside = f"{abs(off):.0%} {'more' if off > 0 else 'less'}" if abs(off) >= 0.005 else "the same"
    return f"Estimated before the start: {memory(expected)}. The peak {tense} {memory(peak)}, {beside}."


def _engine_html(progress: Progress) -> str:
    if not progress.engine:
        return '<p class="lg-help">&nbsp;</p>'
    name = _ENGINES.get(progress.engine, progress.engine)
    reason = f": {progress.reason}" if progress.reason else ""
    precision = f" · {progress.precision}" if progress.precision else ""
    compared = memory_words(progress)
    beside = f'<p class="lg-help" id="train-memory">{esc(compared)}</p>' if compared else ""
    return (
        f'<p class="lg-help" id="train-engine">Engine: {esc(name)}{esc(precision)}{esc(reason)}</p>{beside}'
    )


def _buttons(bench: Bench, run: Run, progress: Progress) -> str:
    job = progress.job
    if job.active:
        save = _button("stop-save", "Stop and save", "second")
        stop = _button("stop", "Stop", "danger")
        note = '<p class="lg-reason">Stop keeps a checkpoint; Stop and save also makes a usable adapter.</p>'
        return actions(save + stop) + note
    again = _button("start", "Start a new run", "second")
    resume = _button("resume", "Resume", "primary")
    if job.status == "done":
        return primary("train", "Export this run", "export", beside=again)
    if run.trained:
        return primary(
            "train", "Export this run", "export", beside=_button("resume", "Resume", "second") + again
        )
    return actions(resume + again)


def _button(act: str, text: str, kind: str) -> str:
    return button(f"train-{act}", act, text, kind)


def bottom_html(bench: Bench) -> str:
    """Warnings of the run and the tail of its log."""
    run = bench.run()
    if run is None:
        return ""
    progress = bench.progress(run)
    warnings = checks(("warn", text) for text in progress.warnings)
    saved = (
        f"{count(len(progress.checkpoints), 'checkpoint')} in {run.checkpoints}"
        if progress.checkpoints
        else ""
    )
    places = f'<p class="lg-help">{esc(saved)}</p>' if saved else ""
    log = esc(run.log_tail(_LOG_LINES)) or "Nothing yet."
    body = (
        f'<pre tabindex="0" aria-label="Log of the worker">{log}</pre>'
        f'<p class="lg-help">{esc(run.folder / "worker.log")}</p>'
    )
    return warnings + places + fold("train-log", "Log", body)
