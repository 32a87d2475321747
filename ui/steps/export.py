"""Export: one file that llama.cpp, Ollama and LM Studio can open, and the hand-off to them."""

from __future__ import annotations

from typing import Any

from core.base.errors import UserError
from core.base.jobs import log_tail, read_job, request_stop
from core.export.forms import form_named, forms
from core.export.record import base_folder, export_job, newest_export, out_of_date, start_export
from core.export.targets import target_named, targets
from core.models.tensors import read_model
from core.runs.run import Run
from ui.bench import Bench
from ui.memo import stamp
from ui.scene import Scene, scene_of
from ui.step import Step, Values


def _panel(scene: Scene) -> Values:
    """Which run, which quantization, how the export goes, what it made."""
    run = scene.run
    if run is None:
        return {}
    try:
        return {"damage": scene.damage, **_run_values(scene, run)}
    except UserError as problem:
        return {"damage": str(problem)}


def _run_values(scene: Scene, run: Run) -> Values:
    job = read_job(export_job(run))
    quant = scene.choices.quant
    find = scene.bench.errands.find
    export = next((export for export in scene.exports if export.quant == quant), None)
    return {
        "job": job,
        "log": log_tail(export_job(run), 25) if job.status in ("failed", "died") else "",
        "quants": forms(),
        "shapes": _shapes(scene, run),
        "export": export,
        "old": out_of_date(run, export) if export else "",
        "targets": [(one, one.missing(), find(f"{one.name} {run.name}")) for one in targets()],
    }


def _shapes(scene: Scene, run: Run) -> list[tuple[int, ...]]:
    """Of the tensors of the run's base model; none where that can't be read."""
    try:
        folder = base_folder(scene.home, run)
        parts = (folder, stamp(folder / "config.json"))
        return scene.bench.memo.get(
            "tensors", parts, lambda: [tensor.shape for tensor in read_model(folder).values()]
        )
    except UserError:
        return []


def _choose_quant(bench: Bench, value: Any) -> None:
    bench.choose(quant=form_named(str(value)).name)


def _run(bench: Bench) -> Run:
    run = scene_of(bench).run
    if run is None:
        raise UserError("There is no run to export yet. Train one first.")
    return run


def _hand_over(bench: Bench, act: str) -> None:
    """Give the chosen file to a program; that may copy gigabytes, so it runs beside the page."""
    run, quant = _run(bench), bench.choices().quant
    export = newest_export(run, quant)
    if export is None:
        raise UserError(f"There is no {quant} file yet. Make it first.")
    if old := out_of_date(run, export):
        raise UserError(old)
    bench.errands.run(f"{act} {run.name}", lambda: target_named(act).place(export))


class ExportStep(Step):
    name = "export"
    title = "Export"
    order = 50
    question = "Make it a file of your own"
    help = (
        "The adapter is merged into the model and written as one GGUF file. Quantization stores each weight "
        "in fewer bits: a smaller file, faster answers, a little less precise."
    )
    parts = {"export-panel": _panel}
    edits = {"run": lambda bench, value: bench.choose(run=str(value)), "quant": _choose_quant}
    acts = {
        "export": lambda bench, _: start_export(bench.home, _run(bench), bench.choices().quant),
        "stop-export": lambda bench, _: request_stop(export_job(_run(bench))),
        **{one.name: lambda bench, _, act=one.name: _hand_over(bench, act) for one in targets()},
    }
