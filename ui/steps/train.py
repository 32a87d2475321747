"""Train: start, watch, stop, resume. Everything shown is read from the run's folder."""

from __future__ import annotations

from typing import Any

import gradio as gr

from core.base.errors import UserError
from core.base.home import STARTER
from core.models import resolve_model
from core.runs.run import Run, open_run, start_run, start_training, stop_training
from ui.bench import Bench
from ui.scene import Scene, recipe_to_train, scene_of
from ui.step import Step, Values, View

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
        "log": run.log_tail(25) if job.status in ("died", "failed") else "",
        "share": progress.step / total if total else (job.progress if job.active else 0.0),
    }


def _more(scene: Scene) -> Values | None:
    """Warnings of the run and the tail of its log."""
    if scene.run is None or scene.progress is None:
        return None
    return {"log": scene.run.log_tail(_LOG_LINES) or "Nothing yet."}


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
    recipe = recipe_to_train(scene)
    if recipe.model != STARTER:
        # the starter's hashes are for the worker to compare
        resolve_model(bench.home, recipe.model)
    start_run(bench.home, recipe)


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
