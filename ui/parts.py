"""What a step is made of: views that are rendered from files, and handlers for what the person does."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.components import Component

from core.base.errors import UserError
from core.base.events import now
from ui.bench import Bench
from ui.html import notice

_WAIT = '<p class="lg-help" role="status">One moment …</p>'
# `edit` and `act` must stand in quotes here: gradio finds a component's own events by looking for them
_BIND = "window.garage.bind(element, trigger, watch, ['edit', 'act'])"


@dataclass(frozen=True)
class View:
    """A component and the function that says what it shows now."""

    component: Component
    render: Callable[[Bench], Any]


Handler = Callable[[Bench, str, Any], None]


@dataclass
class Step:
    """One step of the walk. `on_edit` and `on_act` get the name and value of the field or button."""

    key: str
    views: list[View]
    on_edit: Handler
    on_act: Handler
    panels: list[gr.HTML] = field(default_factory=list)


def panel(elem_id: str, first: bool = False) -> gr.HTML:
    """A piece of the page whose fields trigger `edit` and whose buttons trigger `act`.

    The first one of a step says that there is something to wait for.
    """
    return gr.HTML(_WAIT if first else "", elem_id=elem_id, js_on_load=_BIND, apply_default_css=False)


def fingerprint(value: Any) -> str:
    """Tells whether a rendered value differs from what a page already shows."""
    return hashlib.sha1(repr(value).encode("utf-8", "replace"), usedforsecurity=False).hexdigest()[:12]


def rendered(view: View, bench: Bench) -> Any:
    """What the view shows; a failure becomes a sentence on the page instead of an empty step."""
    try:
        return view.render(bench)
    except UserError as problem:
        return _fallback(view, notice("bad", "This can't be shown", str(problem)))
    except Exception as error:  # the edge of the app: logged with its trace, said on the page
        return _fallback(view, notice("bad", "Something went wrong in the app", log_error(bench, error)))


def _fallback(view: View, text: str) -> Any:
    return text if isinstance(view.component, gr.HTML) else gr.skip()


def attempt(bench: Bench, action: Callable[[], Any]) -> str:
    """Do what the person asked for; when it can't be done, the message that says why, else nothing."""
    try:
        action()
    except UserError as problem:
        return notice("bad", "That did not work", str(problem))
    except Exception as error:  # the edge of the app: logged with its trace, said on the page
        return notice("bad", "Something went wrong in the app", log_error(bench, error))
    return ""


def log_error(bench: Bench, error: BaseException) -> str:
    """Write the trace to the app's log; a sentence that says where it is."""
    path = bench.home.root / "app.log"
    with open(path, "a", encoding="utf-8") as log:
        log.write(f"\n--- {now()}\n")
        traceback.print_exception(error, file=log)
    return f"{type(error).__name__}: {error}. The details are in {path}."
