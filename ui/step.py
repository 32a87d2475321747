"""A step of the walk: what it asks, its parts on the page with their templates, and what it does when asked.

A step is one file in ui/steps with one class, and one folder of templates with its name; the frame, the
server and the browser's script list the registry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import gradio as gr
from gradio.components import Component

from core.base.errors import UserError
from core.base.registry import registered
from ui.bench import Bench
from ui.render import notice, render
from ui.scene import Scene

Values = dict[str, Any]
Handler = Callable[[Bench, Any], object]
_WAIT = '<p class="lg-help" role="status">One moment …</p>'
# `edit` and `act` must stand in quotes here: gradio finds a component's own events by looking for them
BIND = "window.garage.bind(element, trigger, watch, ['edit', 'act'])"


@dataclass(frozen=True)
class View:
    """A component and the function that says what it shows now. `asks`: it triggers `edit` and `act`."""

    component: Component
    render: Callable[[Scene], Any]
    asks: bool = False


class Step:
    """The base of every step.

    `name` stands in the address, in ids, and is the name of the step's folder of templates. `parts` are its
    panels in their order: the id of each, which is also the name of its template, and what that gets; None
    leaves the panel empty. Each is a panel of its own, so that news in one leaves the others alone. `edits`
    and `acts` are what a field or button of that name does.
    """

    abstract: ClassVar[bool] = True
    name: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str]
    help: ClassVar[str]
    order: ClassVar[int]
    parts: ClassVar[Mapping[str, Callable[[Scene], Values | None]]] = {}
    edits: ClassVar[Mapping[str, Handler]] = {}
    acts: ClassVar[Mapping[str, Handler]] = {}

    def build(self, bench: Bench) -> list[View]:
        """Lay the step out below its question."""
        return [self.panel(part) for part in self.parts]

    def panel(self, part: str, bind: str = BIND, **options: Any) -> View:
        """A panel and its view. The first one of a step says that there is something to wait for."""
        wait = _WAIT if part == next(iter(self.parts)) else ""
        component = gr.HTML(wait, elem_id=part, js_on_load=bind, apply_default_css=False, **options)
        return View(component, lambda scene: self.html(part, scene), asks=True)

    def html(self, part: str, scene: Scene) -> str:
        """What a panel shows."""
        values = self.parts[part](scene)
        return "" if values is None else render(f"{self.name}/{part}.html", scene=scene, **values)

    def edit(self, bench: Bench, name: str, value: Any) -> None:
        """A field changed."""
        if name in self.edits:
            self.edits[name](bench, value)

    def act(self, bench: Bench, name: str, value: Any) -> None:
        """A button was pressed."""
        if name in self.acts:
            self.acts[name](bench, value)


def steps() -> tuple[Step, ...]:
    """The walk, in its order."""
    return registered("ui.steps", Step)


def nothing(scene: Scene) -> Values:
    """For a template that only needs the scene."""
    return {}


def fingerprint(value: Any) -> str:
    """Tells whether a rendered value differs from what a page already shows."""
    return hashlib.sha1(repr(value).encode("utf-8", "replace"), usedforsecurity=False).hexdigest()[:12]


def rendered(view: View, scene: Scene) -> Any:
    """What the view shows; a failure becomes a sentence on the page instead of an empty step."""
    value, problem = guarded(scene.bench, lambda: view.render(scene), "This can't be shown")
    if not problem:
        return value
    return problem if isinstance(view.component, gr.HTML) else gr.skip()


def attempt(bench: Bench, action: Callable[[], Any]) -> str:
    """Do what the person asked for; when it can't be done, the message that says why, else nothing."""
    return guarded(bench, action, "That did not work")[1]


def guarded(bench: Bench, action: Callable[[], Any], title: str) -> tuple[Any, str]:
    """What the action gives, and the message of its failure."""
    try:
        return action(), ""
    except UserError as problem:
        return None, notice("bad", title, str(problem))
    except Exception as error:  # the edge of the app: logged with its trace, said on the page
        return None, notice("bad", "Something went wrong in the app", bench.log_error(error))
