"""The loss chart: a canvas drawn by assets/ui/plot.js that asks for new points only, while it can be seen."""

from __future__ import annotations

from typing import Any

import gradio as gr

from core.base.errors import UserError
from core.runs.run import open_run
from ui.bench import Bench

_MOUNT = "window.garage.plot(element, server, watch, props)"


def loss_chart(bench: Bench, elem_id: str) -> gr.HTML:
    """The chart; its value is the name of the run that it shows."""

    # a server function gets exactly one argument, may be called by any page and so must only read
    def new_points(request: dict[str, Any]) -> dict[str, Any]:
        return read_points(bench, request)

    return gr.HTML(
        "",
        elem_id=elem_id,
        html_template='<div class="lg-chart"></div>',
        js_on_load=_MOUNT,
        server_functions=[new_points],
        apply_default_css=False,
    )


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
    points = [point for event in events if (point := chart_point(event)) is not None]
    return {"points": points, "offset": reached, "more": reached > offset}


def chart_point(event: dict[str, Any]) -> list[float] | None:
    """The event as a point of the chart; None when it isn't one."""
    kind, step, loss = event["kind"], event.get("step"), event.get("loss")
    if kind == "started":
        return [2, step or 0]
    if kind in ("log", "eval") and isinstance(step, int) and isinstance(loss, (int, float)):
        return [0 if kind == "log" else 1, step, round(float(loss), 5)]
    return None
