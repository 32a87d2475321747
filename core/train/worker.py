"""The train worker: `python -m core.train.worker RUN_FOLDER [--home HOME] [--resume]`.

Reads the run's recipe and data snapshot, trains, and writes `adapter/` last. Everything it says goes into
the run folder; nobody needs to be watching.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.base.errors import Stopped, first_line
from core.base.home import GARAGE, Home, open_home
from core.base.jobs import Worker
from core.methods.settle import wants_unsloth
from core.recipe import Recipe
from core.runs.data import has_data, prepare_data
from core.runs.run import Run
from core.train.device import set_environment

_UNSLOTH_NEEDS = ("unsloth", "unsloth_zoo", "trl", "peft", "datasets")


@dataclass
class Stop:
    """What asks the worker to end early: the run's stop.request, or a signal."""

    worker: Worker
    signalled: bool = False

    def listen(self) -> None:
        names = ("SIGTERM", "SIGINT", "SIGBREAK")
        for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        self.signalled = True

    def request(self) -> str | None:
        """`stop`, `save`, or None."""
        return self.worker.stop_requested() or ("stop" if self.signalled else None)


@dataclass
class Stages:
    """Names the stage in state and log, and keeps the seconds of each."""

    worker: Worker
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str):
        self.worker.update(stage=name, progress=None)
        self.worker.say("stage", stage=name)
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - start, 2)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train one run.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args(arguments)
    folder = args.run.resolve()
    with Worker(folder, "Stopped before training began.") as worker:
        stop = Stop(worker)
        stop.listen()
        train(worker, Run(folder), open_home(args.home or folder.parent.parent), stop, args.resume)


def train(worker: Worker, run: Run, home: Home, stop: Stop, resume: bool) -> None:
    """The whole run: copy the data, load, train, save. A UserError says what a person can mend."""
    set_environment()
    stages = Stages(worker)
    if not has_data(run.data):
        with stages("preparing"):
            prepare_data(
                home, run.recipe, run.data, lambda share: worker.update(progress=share), stop.request
            )
    with stages("loading"):
        unsloth = why_not_unsloth(run.recipe)
        # only now: Unsloth must be imported before the libraries that it rewrites
        from core.train.session import Session

        session = Session.load(worker, run, home, unsloth, stop.request, resume)
    if stop.request():
        raise Stopped
    with stages("training"):
        session.train()
    if session.stopped_by == "stop":
        session.note_measured()
        worker.stopped(session.stop_sentence())
        return
    with stages("saving"):
        session.save_adapter()
    worker.say("summary", **session.summary(stages.seconds))
    session.note_measured()
    if session.stopped_by:
        worker.update(adapter_saved=True)
        worker.stopped(session.stop_sentence())


def why_not_unsloth(recipe: Recipe) -> str:
    """Import Unsloth (about 10 s) if the recipe can use it. Why it can't be had, as a clause, else empty."""
    missing = [name for name in _UNSLOTH_NEEDS if find_spec(name) is None]
    if missing or not wants_unsloth(recipe):
        return f"{missing[0]} is not installed" if missing else ""
    # no usage counting, and its generated code not in the current folder
    os.environ["UNSLOTH_DISABLE_STATISTICS"] = "1"
    os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(GARAGE / "unsloth"))
    try:
        importlib.import_module("core.train.unsloth")
    # its import runs much foreign code that probes the machine: any failure means "not here"
    except Exception as error:
        problem = f"{type(error).__name__}: {first_line(error)}"
        return f"Unsloth can't be imported here ({problem.rstrip(': .')})"
    return ""


if __name__ == "__main__":
    main()
