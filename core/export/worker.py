"""The export worker: merge → make the file → check → Modelfile, all made aside and renamed when whole.

`python -m core.export.worker JOB_FOLDER --run RUN_FOLDER --quant Q4_K_M [--what tuned|base] [--home HOME]`
"""

from __future__ import annotations

import argparse
from pathlib import Path

from core.base.errors import UserError, disk_sentence, disk_trouble
from core.base.events import now
from core.base.files import (
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
from core.data import ChatTokenizer
from core.data.template import write_template
from core.export.convert import merge, require_space
from core.export.forms import Form, Task, form_named
from core.export.modelfile import modelfile_of, tokenizer_of
from core.export.record import Export, add_export, base_gguf, base_record, base_target, fingerprint
from core.models import resolve_model
from core.models.gguf_header import read_header
from core.models.tensors import read_model
from core.runs.run import Run, adapter_sha256


def main() -> None:
    arguments = _arguments()
    with Worker(arguments.job, "The export was stopped. Nothing half-made is left.") as worker:
        home = open_home(arguments.home)
        run = Run(arguments.run)
        try:
            export(worker, home, run, form_named(arguments.quant), arguments.what)
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


def export(worker: Worker, home: Home, run: Run, form: Form, what: str) -> None:
    """Make one file of `run` (or of its base model), and the records that belong to it."""
    base = resolve_model(home, run.recipe.model)
    if what == "base":
        target, name = base_target(home, run, form.name), base.name
    else:
        name = run.export_name
        target = run.export / f"{name}-{form.name}{form.ending}"
    sweep(target.parent)
    task = Task(worker, home, run, base, form, target, name)
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
    adapter, trained = adapter_sha256(task.run.adapter), task.run.adapter_note
    with task.stage("merge") as tell:
        merge(task.base, task.run.adapter, merged, tell, task.worker.stop_requested)
        tokenizer = tokenizer_of(task.run, task.base)
        if tokenizer.template_name != "model":
            write_template(merged, tokenizer.template_text)
        if adapter_sha256(task.run.adapter) != adapter:
            raise UserError("The run was trained on while its adapter was merged. Export it again.")
    sha256 = _make(task, merged)
    made = Export(
        file=task.target,
        quant=task.form.name,
        bytes=task.target.stat().st_size,
        sha256=sha256,
        what="tuned",
        base_model=task.run.recipe.model,
        made=now(),
        seconds=task.seconds,
        adapter=adapter,
        step=trained.step if trained and trained.sha256 == adapter else None,
    )
    if task.form.ending == ".gguf":
        write_atomic(made.modelfile, modelfile_of(task.run, task.base, read_header(task.target), made.tag))
    add_export(task.run, made)
    task.worker.say("summary", **made.to_json())
    task.worker.update(progress=1.0, file=str(task.target), sha256=sha256, bytes=made.bytes)


def _export_base(task: Task) -> None:
    if base_gguf(task.home, task.run, task.form.name) is not None:
        task.worker.update(progress=1.0, file=str(task.target))
        return
    _require_space(task, merging=False)
    weights = fingerprint(task.base)
    sha256 = _make(task, _with_template(task))
    record = {
        "sha256": sha256,
        "bytes": task.target.stat().st_size,
        "quant": task.form.name,
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
    merged = sum(tensor.bytes for tensor in tensors) if merging else 0
    shapes = [tensor.shape for tensor in tensors]
    require_space(task.target.parent, task.form.room(shapes, merged))


def _make(task: Task, model: Path) -> str:
    """Make the file, check it, and only then give it its name. Returns its SHA-256."""
    file = task.form.make(task, model)
    with task.stage("check"):
        task.form.check(file)
        sha256 = sha256_file(file)
        _keep(file, task.target)
    return sha256


def _keep(file: Path, target: Path) -> None:
    try:
        replace(file, target)
    except PermissionError as error:
        raise UserError(
            f"{target.name} is in use and can't be replaced. End the chat with it, then export again."
        ) from error


if __name__ == "__main__":
    main()
