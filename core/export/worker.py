"""The export worker: merge → convert → quantize → check → Modelfile, all made aside and renamed when whole.

`python -m core.export.worker JOB_FOLDER --run RUN_FOLDER --quant Q4_K_M [--what tuned|base] [--home HOME]`
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from core.base.errors import UserError, disk_sentence, disk_trouble
from core.base.events import now
from core.base.files import (
    aside,
    link_or_copy,
    remove,
    replace,
    sha256_file,
    sweep,
    write_atomic,
    write_json,
)
from core.base.home import Home, open_home
from core.base.jobs import Worker
from core.base.process import ChildStopped
from core.data import ChatTokenizer
from core.data.template import write_template
from core.export.gguf import convert, quantize, require_space
from core.export.quants import Quant, quant_named
from core.export.run_modelfile import modelfile_of, tokenizer_of
from core.export.service import (
    Export,
    add_export,
    base_gguf,
    base_record,
    base_target,
    export_name,
    fingerprint,
)
from core.models import resolve_model
from core.models.gguf_header import read_header
from core.models.tensors import read_model
from core.runs.run import Run

# share of the work by stage, measured on a small model
STAGES = {"merge": 0.15, "convert": 0.5, "quantize": 0.3, "check": 0.05}


class Stopped(Exception):
    """Somebody asked for the export to end."""


@dataclass
class Task:
    """One export: what is made of what, and how far it is. Every temporary path is listed in `temporary`."""

    worker: Worker
    home: Home
    run: Run
    base: Path
    quant: Quant
    target: Path
    name: str
    temporary: list[Path] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    _done: float = 0.0
    _told: float = 0.0

    def aside(self, path: Path) -> Path:
        made = aside(path)
        self.temporary.append(made)
        return made

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[float], None]]:
        """One stage: said in state and events, timed; gives the function that hears its share done."""
        self.check_stop()
        began = time.monotonic()
        self.worker.say("stage", stage=name)
        self.worker.update(stage=name, progress=round(self._done, 3))
        yield lambda share: self._tell(self._done + STAGES[name] * share)
        self._done += STAGES[name]
        self.seconds[name] = round(time.monotonic() - began, 2)

    def check_stop(self) -> None:
        if self.worker.stop_requested():
            raise Stopped

    def _tell(self, progress: float) -> None:
        if time.monotonic() - self._told > 0.3:
            self._told = time.monotonic()
            self.worker.update(progress=round(progress, 3))


def main() -> None:
    arguments = _arguments()
    with Worker(arguments.job) as worker:
        home = open_home(arguments.home)
        run = Run(arguments.run)
        try:
            export(worker, home, run, quant_named(arguments.quant), arguments.what)
        except (Stopped, ChildStopped):
            worker.stopped("The export was stopped. Nothing half-made is left.")
        except OSError as error:
            if disk_trouble(error) is None:
                raise
            what = "The export could not be written"
            raise UserError(disk_sentence(error, what, arguments.job, "export again")) from error


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--quant", required=True)
    parser.add_argument("--what", choices=("tuned", "base"), default="tuned")
    parser.add_argument("--home")
    return parser.parse_args()


def export(worker: Worker, home: Home, run: Run, quant: Quant, what: str) -> None:
    """Make one GGUF file of `run` (or of its base model), and the records that belong to it."""
    base = resolve_model(home, run.recipe.model)
    if what == "base":
        target, name = base_target(home, run, quant.name), base.name
    else:
        name = export_name(run)
        target = run.export / f"{name}-{quant.name}.gguf"
    sweep(target.parent)
    task = Task(worker, home, run, base, quant, target, name)
    try:
        if what == "base":
            _export_base(task)
        else:
            _export_tuned(task)
    finally:
        for path in task.temporary:
            remove(path)


def _export_tuned(task: Task) -> None:
    _require_space(task, merging=True)
    merged = task.aside(task.target.with_name("merged"))
    with task.stage("merge") as tell:
        # torch is loaded by this import, after the worker has said that it lives
        from core.export.merge import merge

        merge(task.base, task.run.adapter, merged, tell, task.check_stop)
        tokenizer = tokenizer_of(task.run, task.base)
        if tokenizer.template_name != "model":
            write_template(merged, tokenizer.template_text)
    sha256 = _to_gguf(task, merged)
    made = Export(
        file=task.target,
        quant=task.quant.name,
        bytes=task.target.stat().st_size,
        sha256=sha256,
        what="tuned",
        base_model=task.run.recipe.model,
        made=now(),
        seconds=task.seconds,
    )
    write_atomic(made.modelfile, modelfile_of(task.run, task.base, read_header(task.target), task.name))
    add_export(task.run, made)
    task.worker.say("summary", **made.to_json())
    task.worker.update(progress=1.0, file=str(task.target), sha256=sha256, bytes=made.bytes)


def _export_base(task: Task) -> None:
    if base_gguf(task.home, task.run, task.quant.name) is not None:
        task.worker.update(progress=1.0, file=str(task.target))
        return
    _require_space(task, merging=False)
    weights = fingerprint(task.base)
    sha256 = _to_gguf(task, _with_template(task))
    record = {
        "sha256": sha256,
        "bytes": task.target.stat().st_size,
        "quant": task.quant.name,
        "weights": weights,
    }
    write_json(base_record(task.target), record)
    task.worker.update(progress=1.0, file=str(task.target), sha256=sha256)


def _with_template(task: Task) -> Path:
    """The base model's folder; where it lacks a chat template, a copy of links that has the one it gets."""
    tokenizer = ChatTokenizer.load(task.base)
    if tokenizer.template_name == "model":
        return task.base
    linked = task.aside(task.target.with_name(f"{task.base.name}-with-template"))
    linked.mkdir()
    for file in task.base.iterdir():
        if file.is_file():
            link_or_copy(file.resolve(), linked / file.name)
    write_template(linked, tokenizer.template_text)
    return linked


def _require_space(task: Task, merging: bool) -> None:
    tensors = read_model(task.base).values()
    parameters = sum(math.prod(tensor.shape) for tensor in tensors)
    merged = sum(tensor.bytes for tensor in tensors) if merging else 0
    sixteen = 2 * parameters
    # small models take more than the average: some of their layers don't fit the block sizes
    quantized = 0 if task.quant.name == "F16" else int(1.3 * task.quant.estimate(parameters))
    require_space(task.target.parent, max(merged + sixteen, sixteen + quantized))


def _to_gguf(task: Task, model: Path) -> str:
    """Convert, quantize, check, and only then give the file its name. Returns its SHA-256."""
    made = task.aside(task.target)
    sixteen = made if task.quant.name == "F16" else task.aside(task.target.with_name("sixteen.gguf"))
    with task.stage("convert") as tell:
        outtype = "f16" if task.quant.name == "F16" else "auto"
        convert(model, sixteen, outtype, task.name, tell, task.worker.stop_requested)
    if model != task.base:
        remove(model)
    if sixteen != made:
        with task.stage("quantize") as tell:
            quantize(sixteen, made, task.quant.name, tell, task.worker.stop_requested)
        remove(sixteen)
    with task.stage("check"):
        sha256 = _check(made, task)
        _keep(made, task.target)
    return sha256


def _check(made: Path, task: Task) -> str:
    header = read_header(made)
    if not header.chat_template:
        raise UserError(
            f"The GGUF file of {task.name} has no chat template, so no program could chat with it."
        )
    return sha256_file(made)


def _keep(made: Path, target: Path) -> None:
    try:
        replace(made, target)
    except PermissionError as error:
        raise UserError(
            f"{target.name} is in use and can't be replaced. End the chat with it, then export again."
        ) from error


if __name__ == "__main__":
    main()
