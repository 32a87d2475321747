"""Train: start, watch, stop, resume. Everything shown is read from the run's folder."""

from __future__ import annotations

from typing import Any

import gradio as gr

from core.base.errors import UserError
from core.runs.progress import Progress
from core.runs.run import Run, open_run, start_run, start_training, stop_training
from ui.bench import Bench
from ui.scene import Scene, recipe_to_train, scene_of
from ui.step import Step, Values, View
from ui.words import deviation, duration, memory

_STAGES = {
    "starting": "Starting the worker",
    "preparing": "Preparing the data …",
    "loading": "Loading the model and the data",
    "training": "Training",
    "saving": "Saving the adapter",
}
_ENGINES = {"unsloth": "Unsloth", "peft": "Transformers + PEFT"}
_LOG_LINES = 60


def _panel(scene: Scene) -> Values:
    """Which run, how it stands, and the buttons that fit; before the first run, what it will take."""
    run, progress = scene.run, scene.progress
    if run is None or progress is None:
        return {}
    job, total = progress.job, progress.total_steps
    return {
        "progress": progress,
        "job": job,
        "stage": _STAGES.get(job.stage or "starting", job.stage.capitalize()),
        "log": run.log_tail(25) if job.status in ("died", "failed") else "",
        "share": progress.step / total if total else (job.progress if job.active else 0.0),
        "numbers": numbers(progress),
        "engine": _ENGINES.get(progress.engine, progress.engine),
        "compared": memory_words(progress),
        "resume": resume_words(progress),
        "result": result_words(progress),
    }


def _more(scene: Scene) -> Values | None:
    """Warnings of the run and the tail of its log."""
    if scene.run is None or scene.progress is None:
        return None
    warnings = [("warn", text) for text in scene.progress.warnings]
    return {"log": scene.run.log_tail(_LOG_LINES) or "Nothing yet.", "warnings": warnings}


def numbers(progress: Progress) -> list[tuple[str, str]]:
    """Step, losses, speed, memory and time left, as far as they are known."""
    peak = progress.peak_memory or progress.memory
    left = duration(progress.eta_s) if progress.eta_s and progress.job.active else ""
    doubt = f" ± {progress.eta_spread - 1:.0%}" if progress.eta_spread and left else ""
    values = {
        "Step": f"{progress.step:,} of {progress.total_steps:,}" if progress.total_steps else "",
        "Loss": f"{progress.points[-1][1]:.3f}" if progress.points else "",
        "Held-out loss": f"{progress.heldout[-1][1]:.3f}" if progress.heldout else "",
        "Speed": f"{progress.tokens_per_s:,.0f} tokens/s" if progress.tokens_per_s else "",
        "Peak memory": memory(peak) if peak else "",
        "Time left": left + doubt,
    }
    return [(name, value or "–") for name, value in values.items()]


def memory_words(progress: Progress) -> str:
    """The measured peak beside what was estimated before the start; empty while one is not known."""
    peak, expected = progress.peak_memory, progress.estimated_memory
    if not peak or not expected:
        return ""
    tense = "so far is" if progress.job.active else "was"
    beside = f"{memory(peak)}, {deviation(peak / expected)}"
    return f"Estimated before the start: {memory(expected)}. The peak {tense} {beside}."


def resume_words(progress: Progress) -> str:
    """From where a resume would go on."""
    if progress.checkpoints:
        return f"Resume goes on from the checkpoint at step {progress.checkpoints[-1]}."
    return "There is no checkpoint yet, so Resume starts it from the beginning."


def result_words(progress: Progress) -> str:
    if len(progress.heldout) < 2:
        return "Export it next."
    first, last = progress.heldout[0][1], progress.heldout[-1][1]
    fall = f", {(1 - last / first):.0%} lower" if last < first else ""
    return f"Held-out loss went from {first:.3f} to {last:.3f}{fall}. Export it next."


def read_points(bench: Bench, request: dict[str, Any]) -> dict[str, Any]:
    """What the run's log says after byte `offset`: {points, offset, more}.

    `points` is a list of [kind, step, loss]: kind 0 train, 1 held-out, 2 (re)started there, without loss.
    """
    try:
        run = open_run(bench.home, str(request["run"]))
        offset = max(0, int(request["offset"]))
    except (UserError, KeyError, TypeError, ValueError):
        return {"points": [], "offset": 0, "more": False}
    events, reached = run.events.read(offset)
    points = [point for event in events if (point := _point(event)) is not None]
    return {"points": points, "offset": reached, "more": reached > offset}


def _point(event: dict[str, Any]) -> list[float] | None:
    """The event as a point of the chart; None when it isn't one."""
    kind, step, loss = event["kind"], event.get("step"), event.get("loss")
    if kind == "started":
        return [2, step or 0]
    if kind in ("log", "eval") and isinstance(step, int) and isinstance(loss, (int, float)):
        return [0 if kind == "log" else 1, step, round(float(loss), 5)]
    return None


def _start(bench: Bench, value: Any) -> None:
    """Make a run of the choices and train it. A UserError names the run that trains already."""
    scene = scene_of(bench)
    bench.choose(run="")
    if scene.busy is not None:
        name = scene.busy[0].name
        raise UserError(f"“{name}” is training already; here it is. Wait for it, or stop it first.")
    start_run(bench.home, recipe_to_train(scene))


def _run(bench: Bench) -> Run:
    run = scene_of(bench).run
    if run is None:
        raise UserError("There is no run yet. Start one first.")
    return run


def _resume(bench: Bench, value: Any) -> None:
    run = _run(bench)
    start_training(bench.home, run, resume=any(run.checkpoints.glob("step-*")))


class TrainStep(Step):
    name = "train"
    title = "Train"
    order = 40
    question = "Train it and watch the loss fall"
    help = (
        "The loss says how far its answers are from yours: lower is closer. "
        "You may close this page meanwhile."
    )
    parts = {"train-panel": _panel, "train-more": _more}
    edits = {"run": lambda bench, value: bench.choose(run=str(value))}
    acts = {
        "start": _start,
        "stop": lambda bench, _: stop_training(_run(bench), "stop"),
        "stop-save": lambda bench, _: stop_training(_run(bench), "save"),
        "resume": _resume,
    }

    def build(self, bench: Bench) -> list[View]:
        """The chart stands between the two panels."""
        top = self.panel("train-panel")

        # a server function gets exactly one argument, may be called by any page and so must only read
        def new_points(request: dict[str, Any]) -> dict[str, Any]:
            return read_points(bench, request)

        # drawn by assets/ui/plot.js, which asks for new points while it can be seen; its value names the run
        chart = gr.HTML(
            "",
            elem_id="train-chart",
            html_template='<div class="lg-chart"></div>',
            js_on_load="window.garage.plot(element, server, watch, props)",
            server_functions=[new_points],
            apply_default_css=False,
        )
        shown = View(chart, lambda scene: scene.run.name if scene.run is not None else "")
        return [top, shown, self.panel("train-more")]
