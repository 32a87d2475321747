"""The page: frame, card and steps, and the few events that keep them true to the files on disk.

One timer makes a scene and draws the frame and the open step from it; only what changed is sent. So reloads,
second tabs and restarts need no care.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gradio as gr

from ui import frame
from ui.bench import Bench
from ui.render import render
from ui.scene import Scene, scene_of
from ui.step import Step, View, attempt, fingerprint, rendered, steps

TICK_S = 1.5
# events that must not wait behind anything, nor show a spinner
_QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def build_page(bench: Bench) -> gr.Blocks:
    """The whole page, bound to the bench."""
    with gr.Blocks(title="LoRA Garage", analytics_enabled=False, fill_width=True) as page:
        header = _html("header", None)
        nav = _html("nav", "window.garage.nav(element, trigger, 'enter')", frame.nav())
        with gr.Row(elem_id="bench"):
            with gr.Column(elem_id="walk"):
                views = [(view, step) for step in steps() for view in _build_step(step, bench)]
            # on a phone the card is a bar that starts folded
            card = _html("card", "window.garage.card(element, watch)")
        # Gradio's own messages need its queue; ours come with any answer and stay until they are read
        message = _html("message", "window.garage.say(element, watch, props)")
        around = [(View(header, frame.header), None), (View(card, frame.card), None)]
        _wire(bench, nav, [*around, *views], message)
    return page


def _html(elem_id: str, script: str | None, value: str = "") -> gr.HTML:
    return gr.HTML(value, elem_id=elem_id, apply_default_css=False, js_on_load=script)


def _build_step(step: Step, bench: Bench) -> list[View]:
    with gr.Column(elem_id=f"step-{step.name}", elem_classes="lg-step"):
        _html(f"{step.name}-heading", None, render("heading.html", step=step))
        return step.build(bench)


def _wire(bench: Bench, nav: gr.HTML, views: list[tuple[View, Step | None]], message: gr.HTML) -> None:
    """Connect entering a step, the timer, and what the person does in a step to drawing."""
    # what the page shows is noted in the page itself: it changes together with the views, in the same answer
    shown = gr.Textbox("{}", visible="hidden", elem_id="shown", container=False)
    step_name = gr.Textbox("", visible="hidden", elem_id="step-name", container=False)
    everything = [shown, *(view.component for view, _ in views)]

    def refresh(name: str, before: str) -> list[Any]:
        open_views = [view if step is None or step.name == name else None for view, step in views]
        return draw(scene_of(bench), open_views, before)

    def enter(before: str, event: gr.EventData) -> list[Any]:
        return refresh(str(event.step), before)

    def handle(step: Step, handler: Callable[[Bench, str, Any], None]) -> Callable[..., list[Any]]:
        def handled(before: str, event: gr.EventData) -> list[Any]:
            problem = attempt(bench, lambda: handler(bench, str(event.name), event.value))
            return [problem, *refresh(step.name, before)]

        return handled

    nav.enter(enter, [shown], everything, trigger_mode="multiple", **_QUIET)
    now = "(_, shown) => [window.garage.step(), shown]"
    gr.Timer(TICK_S).tick(refresh, [step_name, shown], everything, js=now, **_QUIET)
    for view, step in views:
        if step is None or not view.asks:
            continue
        panel: Any = view.component
        for event, handler in ((panel.edit, step.edit), (panel.act, step.act)):
            # by default gradio drops what comes while it answers: the second of two quick changes
            answered = event(
                handle(step, handler), [shown], [message, *everything], trigger_mode="multiple", **_QUIET
            )
            answered.then(None, js="() => window.garage.answered()")


def draw(scene: Scene, views: list[View | None], before: str) -> list[Any]:
    """The marks of what the page then shows, and a value for each view.

    `before` are the marks of what it shows now; what is the same, and what is None, is left as it is.
    """
    marks = _marks(before)
    values = []
    for index, view in enumerate(views):
        value = None if view is None else rendered(view, scene)
        mark = fingerprint(value)
        if value is None or marks.get(str(index)) == mark:
            values.append(gr.skip())
        else:
            values.append(value)
            marks[str(index)] = mark
    return [json.dumps(marks), *values]


def _marks(text: str) -> dict[str, str]:
    marks: Any = {}
    with suppress(ValueError):
        marks = json.loads(text)
    return marks if isinstance(marks, dict) else {}
