"""Step 5, Export: one GGUF file that llama.cpp, Ollama and LM Studio can open, and the hand-off to them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import gradio as gr

from core.base.errors import UserError
from core.base.jobs import JobState, log_tail, read_job, request_stop
from core.export.forms import Form, form_named, forms
from core.export.record import (
    Export,
    base_folder,
    export_job,
    newest_export,
    read_exports,
    start_export,
)
from core.export.targets import Target, target_named, targets
from core.models import inspect_model
from core.runs.run import Run
from ui.bench import Bench
from ui.html import (
    actions,
    button,
    choice_cards,
    copy_box,
    duration,
    esc,
    fold,
    heading,
    meter,
    notice,
    primary,
    size,
)
from ui.parts import Step, View, log_error, panel
from ui.pick import run_picker

QUESTION = "Make it a file of your own"
HELP = (
    "The adapter is merged into the model and written as one GGUF file. "
    "Quantization stores each weight in fewer bits: a smaller file, faster answers, a little less precise."
)


def build(bench: Bench) -> Step:
    """Lay the step out."""
    gr.HTML(heading("export", QUESTION, HELP), elem_id="export-heading", apply_default_css=False)
    body = panel("export-panel", first=True)
    return Step("export", [View(body, body_html)], on_edit, on_act, [body])


def on_edit(bench: Bench, name: str, value: Any) -> None:
    """Another run or another quantization is chosen."""
    if name == "run":
        bench.choose(run=str(value))
    elif name == "quant":
        bench.choose(quant=form_named(str(value)).name)


def on_act(bench: Bench, name: str, value: Any) -> None:
    """A button was pressed: start, stop, or hand the file over."""
    run = bench.run()
    if run is None:
        raise UserError("There is no run to export yet. Train one first.")
    if name == "export":
        start_export(bench.home, run, bench.choices().quant)
    elif name == "stop-export":
        request_stop(export_job(run))
    else:
        hand_over(bench, run, target_named(name))


def body_html(bench: Bench) -> str:
    """Which run, which quantization, how the export goes, what it made."""
    run = bench.run()
    if run is None:
        return notice("info", "There is nothing to export yet", "Train a run first.") + primary(
            "export", "Go to Train", "train"
        )
    try:
        return run_picker(bench, run, "export") + _run_html(bench, run)
    except UserError as problem:
        return run_picker(bench, run, "export") + notice("bad", "This run is damaged", str(problem))


def _run_html(bench: Bench, run: Run) -> str:
    job = read_job(export_job(run))
    made = read_exports(run)
    quant = bench.choices().quant
    chosen = next((export for export in made if export.quant == quant), None)
    parts = [_quant_cards(bench, run, quant, made), _job_html(run, job)]
    if not job.active:
        parts.append(_ways_on(run, quant, chosen))
    if chosen is not None:
        parts.append(files_html(bench, run, chosen))
    return "".join(parts)


def _quant_cards(bench: Bench, run: Run, chosen: str, made: list[Export]) -> str:
    parameters = _parameters(bench, run)
    options = []
    for form in forms():
        export = next((item for item in made if item.quant == form.name), None)
        options.append((form.name, form.name, f"{_size_words(form, export, parameters)} {form.help}"))
    first = [option for option in options if option[0] == chosen]
    rest = [option for option in options if option[0] != chosen]
    others = choice_cards("quant", "Other quantizations", rest, chosen)
    folded = fold("other-quants", "Other quantizations", others)
    return choice_cards("quant", "Chosen quantization", first, chosen) + folded


def _size_words(form: Form, export: Export | None, parameters: int) -> str:
    if export is not None:
        return f"{size(export.bytes)}, made already."
    return f"About {size(form.size(parameters))}." if parameters else ""


def _job_html(run: Run, job: JobState) -> str:
    if job.active:
        words = job.stage.capitalize() or "Starting"
        stop = actions(button("export-stop", "stop-export", "Stop", "danger"))
        return f'<p class="lg-state" role="status">{esc(words)}</p>{meter(job.progress, "Export")}{stop}'
    if job.status in ("failed", "died"):
        title = "The export has failed" if job.status == "failed" else "The export has died"
        return notice("bad", title, f"{job.message} Start it again.", details=log_tail(export_job(run), 25))
    if job.status == "stopped":
        return notice("info", "The export was stopped", job.message)
    return ""


def _ways_on(run: Run, quant: str, chosen: Export | None) -> str:
    if chosen is not None:
        return primary("export", "Chat with it", "chat")
    if not run.trained:
        reason = "This run has no adapter yet: train it to the end, or use Stop and save."
        return primary("export", f"Make the {quant} file", "export", reason)
    return actions(button("export-start", "export", f"Make the {quant} file", "primary"))


def files_html(bench: Bench, run: Run, export: Export) -> str:
    """The finished file: where it lies, how to take it, how to hand it over."""
    link = f"garage/runs/{quote(run.name)}/export/{quote(export.file.name)}"
    took = duration(sum(export.seconds.values()))
    about = f"{size(export.bytes)} · {export.quant} · made in {took} · sha256 {export.sha256[:16]}…"
    return (
        f'<section class="lg-section"><h3>The file</h3><p class="lg-help">{esc(about)}</p>'
        f"{copy_box('export-path', str(export.file), 'the path')}"
        + actions(f'<a id="export-download" class="lg-second" href="{link}" download>Download</a>')
        + "</section>"
        + "".join(target_html(bench, run, export, target) for target in targets())
    )


def target_html(bench: Bench, run: Run, export: Export, target: Target) -> str:
    """A program to hand the file to: what to type, and a button where the program is installed."""
    about = f'<p class="lg-help">{esc(target.help)}</p>' if target.help else ""
    line = target.command(export)
    command = copy_box(f"export-{target.name}", line, "the command") if line else ""
    reason = target.missing()
    way = f'<p class="lg-help">{esc(reason)}</p>' if reason else _errand_html(bench, run, target)
    return f'<section class="lg-section"><h3>{esc(target.title)}</h3>{about}{command}{way}</section>'


def _errand_html(bench: Bench, run: Run, target: Target) -> str:
    errand = bench.errands.find(f"{target.name} {run.name}")
    go = button(f"export-{target.name}-go", target.name, target.button)
    if errand is None:
        return actions(go)
    if errand.status == "running":
        return f'<div class="lg-wait"><p>{esc(target.doing)} …</p>{meter(None, target.doing)}</div>'
    title = "Done" if errand.status == "done" else "That did not work"
    return notice("ok" if errand.status == "done" else "bad", title, errand.message, go)


def hand_over(bench: Bench, run: Run, target: Target) -> None:
    """Give the chosen file to a program; that may copy gigabytes, so it runs beside the page."""
    quant = bench.choices().quant
    export = newest_export(run, quant)
    if export is None:
        raise UserError(f"There is no {quant} file yet. Make it first.")
    bench.errands.run(
        f"{target.name} {run.name}", lambda: target.place(export), lambda error: log_error(bench, error)
    )


def _parameters(bench: Bench, run: Run) -> int:
    try:
        return inspect_model(base_folder(bench.home, run)).parameters
    except UserError:
        return 0
