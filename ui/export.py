"""Step 5, Export: one GGUF file that llama.cpp, Ollama and LM Studio can open, and the hand-off to them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import gradio as gr

from core.errors import UserError
from core.export.service import QUANTS, Export, Quant, export_job, read_exports, start_export
from core.jobs import JobState, kill_job, read_job, request_stop
from core.models import inspect_model
from core.runs import Run
from ui.bench import Bench
from ui.html import checks, choice_cards, copy_box, duration, esc, heading, meter, notice, primary, size
from ui.parts import Step, View, panel
from ui.pick import run_picker

QUESTION = "Make it a file of your own"
HELP = (
    "The adapter is merged into the model and written as one GGUF file. "
    "Quantization stores each weight in fewer bits: a smaller file, faster answers, a little less precise."
)


def build(bench: Bench) -> Step:
    """Lay the step out."""
    gr.HTML(heading("export", QUESTION, HELP), elem_id="export-heading", apply_default_css=False)
    body = panel("export-panel")
    return Step("export", [View(body, body_html)], on_edit, on_act, [body])


def on_edit(bench: Bench, name: str, value: Any) -> None:
    """Another run or another quantization is chosen."""
    if name == "run":
        bench.choose(run=str(value))
    elif name == "quant" and value in QUANTS:
        bench.choose(quant=str(value))


def on_act(bench: Bench, name: str, value: Any) -> None:
    """A button was pressed: start, stop, or hand the file over."""
    run = bench.run()
    if run is None:
        raise UserError("There is no run to export yet. Train one first.")
    if name == "export":
        start_export(bench.home, run, bench.choices().quant)
    elif name == "stop-export":
        request_stop(export_job(run))
