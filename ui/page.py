"""The page: frame, card and six steps, and the few events that keep them true to the files on disk.

Each step is a list of views (a component and the function that renders it) and handlers. One timer renders
the step that is open again; only what changed is sent. So reloads, second tabs and restarts need no care.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gradio as gr

from ui import chat, data, export, frame, model, preset, train
from ui.bench import Bench
from ui.parts import Handler, Step, View, attempt, fingerprint, rendered

TICK_S = 1.5
_BUILDERS: dict[str, Callable[[Bench], Step]] = {
    "model": model.build,
    "data": data.build,
    "preset": preset.build,
    "train": train.build,
    "export": export.build,
    "chat": chat.build,
}
# events that must not wait behind anything, nor show a spinner
_QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def build_page(bench: Bench) -> gr.Blocks:
    """The whole page, bound to the bench."""
    with gr.Blocks(title="LoRA Garage", analytics_enabled=False, fill_width=True) as page:
        header = gr.HTML("", elem_id="header", apply_default_css=False, js_on_load=None)
        nav = gr.HTML(
            frame.nav_html(),
            elem_id="nav",
            apply_default_css=False,
            js_on_load="window.garage.nav(element, trigger, 'enter')",
        )
        with gr.Row(elem_id="bench"):
            with gr.Column(elem_id="walk"):
                steps = [_build_step(key, bench) for key in _BUILDERS]
            card = gr.HTML("", elem_id="card", apply_default_css=False, js_on_load=_KEEP_OPEN)
        around = [View(header, frame.header_html), View(card, frame.card_html)]
        message = gr.HTML("", elem_id="message", apply_default_css=False, js_on_load=_SAY)
        _wire(bench, nav, steps, around, message)
    return page


# on a phone the card is a bar that starts folded
_KEEP_OPEN = "window.garage.card(element, watch)"
# Gradio's own messages need its queue; ours come with any answer and stay until they are read
_SAY = "window.garage.say(element, watch, props)"


def _build_step(key: str, bench: Bench) -> Step:
    with gr.Column(elem_id=f"step-{key}", elem_classes="lg-step"):
        return _BUILDERS[key](bench)


def _wire(bench: Bench, nav: gr.HTML, steps: list[Step], around: list[View], message: gr.HTML) -> None:
    """Connect entering a step, the timer, and what the person does in a step to rendering."""
    # what the page shows is noted in the page itself: it changes together with the views, in the same answer
    shown = gr.Textbox("{}", visible="hidden", elem_id="shown", container=False)
    step_name = gr.Textbox("", visible="hidden", elem_id="step-name", container=False)
    views = [*((view, "") for view in around), *((view, step.key) for step in steps for view in step.views)]
    everything = [shown, *(view.component for view, _ in views)]

    def refresh(step: str, before: str) -> list[Any]:
        return render(bench, [view if owner in ("", step) else None for view, owner in views], before)

    def enter(before: str, event: gr.EventData) -> list[Any]:
        return refresh(str(event.step), before)

    def handle(step: Step, handler: Handler) -> Callable[..., list[Any]]:
        def handled(before: str, event: gr.EventData) -> list[Any]:
            said = attempt(bench, lambda: handler(bench, str(event.name), event.value))
            return [said, *refresh(step.key, before)]

        return handled

    nav.enter(enter, [shown], everything, trigger_mode="multiple", **_QUIET)
    now = "(_, shown) => [window.garage.step(), shown]"
    gr.Timer(TICK_S).tick(refresh, [step_name, shown], everything, js=now, **_QUIET)
    for step in steps:
        for body in step.panels:
            for event, handler in ((body.edit, step.on_edit), (body.act, step.on_act)):
                # by default gradio drops what comes while it answers: the second of two quick changes
                answered = event(
                    handle(step, handler), [shown], [message, *everything], trigger_mode="multiple", **_QUIET
                )
                answered.then(None, js="() => window.garage.answered()")


def render(bench: Bench, views: list[View | None], before: str) -> list[Any]:
    """The marks of what the page then shows, and a value for each view.

    `before` are the marks of what it shows now; what is the same, and what is None, is left as it is.
    """
    marks = _marks(before)
    values = []
    for index, view in enumerate(views):
        value = None if view is None else rendered(view, bench)
        mark = fingerprint(value)
        if value is None or marks.get(str(index)) == mark:
            values.append(gr.skip())
        else:
            values.append(value)
            marks[str(index)] = mark
    return [json.dumps(marks), *values]


def _marks(text: str) -> dict[str, str]:
    try:
        marks = json.loads(text)
    except ValueError:
        return {}
    return marks if isinstance(marks, dict) else {}
