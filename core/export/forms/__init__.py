"""The forms an export can take, one file each; a new one is a new file here, and a line in the README.

A form is a class with a name, a help text and a size, that makes one file out of a model's folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from core.base.errors import Stopped, UserError
from core.base.files import aside
from core.base.home import Home
from core.base.jobs import Worker
from core.base.registry import registered
from core.runs.run import Run

# a model's tensors, the last number of each the length of its rows
Shapes = Sequence[tuple[int, ...]]


class Form:
    """One kind of file. `order` sorts them on the page, the first is the default; `ending` is the file's.

    `stages` are the parts of the work, as shares of its time; what a form does beside "merge" and "check" is
    its own.
    """

    name = ""
    help = ""
    order = 0
    ending = ""
    stages: dict[str, float] = {"merge": 0.4, "make": 0.5, "check": 0.1}

    def size(self, shapes: Shapes) -> int:
        """About how many bytes the file of a model with tensors of these shapes takes."""
        raise NotImplementedError

    def room(self, shapes: Shapes, merged: int) -> int:
        """The most bytes that lie on the disk at once; `merged` of them are the merged model's."""
        return merged + self.size(shapes)

    def make(self, task: Task, model: Path) -> Path:
        """Make the file of the model in the folder `model`, at a path of `task.aside`."""
        raise NotImplementedError

    def check(self, file: Path) -> None:
        """A UserError where the finished file would be of no use."""


def forms() -> tuple[Form, ...]:
    """Every form, the default first."""
    return registered("core.export.forms", Form)


def default_form() -> Form:
    return forms()[0]


def form_named(name: str) -> Form:
    """The form called `name`, in any case; a UserError lists them all."""
    form = next((form for form in forms() if form.name.lower() == name.lower()), None)
    if form is None:
        names = ", ".join(form.name for form in forms())
        raise UserError(f"There is no quantization “{name}”. Choose one of {names}.")
    return form


@dataclass
class Task:
    """One export on its way: what is made of what, and how far it is. `temporary` lists every path aside."""

    worker: Worker
    home: Home
    run: Run
    base: Path
    form: Form
    target: Path
    name: str
    temporary: list[Path] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    _done: float = 0.0
    _shown: float = 0.0

    def aside(self, path: Path) -> Path:
        temporary = aside(path)
        self.temporary.append(temporary)
        return temporary

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[float], None]]:
        """One stage: said in state and events, timed; gives the function that hears its share done."""
        if self.worker.stop_requested():
            raise Stopped
        began = time.monotonic()
        self.worker.say("stage", stage=name)
        self.worker.update(stage=name, progress=round(self._done, 3))
        yield lambda share: self._tell(self._done + self.form.stages[name] * share)
        self._done += self.form.stages[name]
        self.seconds[name] = round(time.monotonic() - began, 2)

    def _tell(self, progress: float) -> None:
        if time.monotonic() - self._shown > 0.3:
            self._shown = time.monotonic()
            self.worker.update(progress=round(progress, 3))
