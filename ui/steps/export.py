"""Export: one GGUF file that llama.cpp, Ollama and LM Studio can open, and the hand-off to them."""

from __future__ import annotations

from typing import Any

from core.base.errors import UserError
from core.base.jobs import log_tail, read_job, request_stop
from core.export.handoff import lmstudio_models, lmstudio_place, ollama_create, ollama_installed
from core.export.service import QUANTS, base_folder, export_job, export_name, newest_export, start_export
from core.models import inspect_model
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
    return {
        "job": job,
        "log": log_tail(export_job(run), 25) if job.status in ("failed", "died") else "",
        "quants": QUANTS.values(),
        "parameters": _parameters(scene, run),
        "export": next((export for export in scene.exports if export.quant == quant), None),
        "name": export_name(run),
        "ollama": ollama_installed(),
        "lmstudio": _lmstudio_missing(),
        "errands": {act: scene.bench.errands.find(f"{act} {run.name}") for act in ("ollama", "lmstudio")},
    }


def _parameters(scene: Scene, run: Run) -> int:
    """Of the run's base model; 0 where that can't be read."""
    try:
        folder = base_folder(scene.home, run)
        parts = (folder, stamp(folder / "config.json"))
        return scene.bench.memo.get("parameters", parts, lambda: inspect_model(folder).parameters)
    except UserError:
        return 0


def _lmstudio_missing() -> str:
    """Why the file can't be placed in LM Studio; empty where it can."""
    try:
        lmstudio_models()
        return ""
    except UserError as problem:
        return str(problem)


def _choose_quant(bench: Bench, value: Any) -> None:
    if value in QUANTS:
        bench.choose(quant=str(value))


def _run(bench: Bench) -> Run:
    run = scene_of(bench).run
    if run is None:
        raise UserError("There is no run to export yet. Train one first.")
    return run


def _hand_over(bench: Bench, act: str) -> None:
    """Give the chosen file to Ollama or LM Studio; both may copy gigabytes, so it runs beside the page."""
    run, quant = _run(bench), bench.choices().quant
    export = newest_export(run, quant)
    if export is None:
        raise UserError(f"There is no {quant} file yet. Make it first.")

    def work() -> str:
        if act == "ollama":
            return f"Talk to it with: {ollama_create(export.file.parent, export_name(run))}"
        return f"It lies in {lmstudio_place(export.file, export_name(run))}."

    bench.errands.run(f"{act} {run.name}", work)


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
        "ollama": lambda bench, _: _hand_over(bench, "ollama"),
        "lmstudio": lambda bench, _: _hand_over(bench, "lmstudio"),
    }
