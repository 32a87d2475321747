"""Models that are on this machine: in the home folder, in the Hugging Face cache, or in any other folder."""

from __future__ import annotations

from pathlib import Path

from core.base.errors import UserError
from ui.bench import Bench
from ui.html import esc, size, text_field
from ui.model_desk import Local
from ui.model_fit import Setting, setting_of
from ui.model_rows import Row, people, rows_html


def local_html(bench: Bench) -> str:
    """The models found, and a field for the folder of one that lies elsewhere."""
    chosen = bench.choices().folder
    found = bench.models.locals()
    setting = setting_of(bench)
    rows = [_row(bench, item, setting) for item in found]
    if rows:
        listed = (
            '<div class="lg-models" role="radiogroup" aria-label="Models on this machine">'
            f"{rows_html('folder', rows, chosen)}</div>"
        )
    else:
        listed = (
            '<p class="lg-help lg-models-empty">No model was found in the home folder or in the Hugging Face '
            "cache. Type where one lies, or choose one from the catalogue.</p>"
        )
    return listed + _field(chosen, [str(item.folder) for item in found])


def _field(chosen: str, listed: list[str]) -> str:
    example = esc(Path.home() / "models" / "my-model")
    label = "Another folder" if listed else "Folder of the model"
    value = "" if chosen in listed else chosen
    return text_field("model-folder", "folder", label, value, f'placeholder="{example}" autocomplete="off"')


def _row(bench: Bench, item: Local, setting: Setting) -> Row:
    place = "Hugging Face cache" if item.cached else "Home folder"
    try:
        spec = bench.models.spec(item.folder)
    except UserError as problem:
        return Row(str(item.folder), item.name, facts=(place,), note=str(problem))
    facts = (
        place,
        f"{size(spec.file_bytes)} on disk" if spec.file_bytes else "",
        spec.architecture,
        "" if spec.exact else "Shapes are estimated",
    )
    estimate = bench.models.estimate(spec, setting)
    return Row(str(item.folder), item.name, people(spec.parameters), facts=facts, estimate=estimate)
