"""Step 2, Data: its parts, and what the person does there; what they show is in data_views."""

from __future__ import annotations

from typing import Any

import gradio as gr

from core.base.errors import UserError
from core.base.jobs import request_stop
from core.data.shapes import ROLES_OF_COLUMNS, check_mapping
from core.hub.download import download_job, start_download
from ui import data_files
from ui.bench import Bench
from ui.choices import Choices
from ui.data_look import draft_of, look, question
from ui.data_views import (
    first_view,
    found_view,
    mapping_view,
    next_view,
    numbers_view,
    row_view,
    state_view,
)
from ui.download import hub_id
from ui.html import heading
from ui.parts import Step, View, panel

QUESTION = "What should it learn?"
HELP = (
    "Show it questions and the answers you would like: a few dozen rows teach a style, a few hundred a skill."
)


def build(bench: Bench) -> Step:
    """Lay the step out: each part is a panel of its own, so that news in one leaves the others alone."""
    gr.HTML(heading("data", QUESTION, HELP), elem_id="data-heading", apply_default_css=False)
    parts = {
        "data-choice": data_files.choice_html,
        "data-drop": data_files.drop_html,
        "data-picked": data_files.picked_html,
        "data-state": state_view,
        "data-mapping": mapping_view,
        "data-found": found_view,
        "data-sight": row_view,
        "data-measured": numbers_view,
        "data-first": first_view,
        "data-onward": next_view,
    }
    panels = {name: panel(name, first=name == "data-choice") for name in parts}
    views = [View(panels[name], render) for name, render in parts.items()]
    return Step("data", views, on_edit, on_act, list(panels.values()))


def on_edit(bench: Bench, name: str, value: Any) -> None:
    """A field changed: which data, a column's role, the row that is shown, the chat template."""
    if name == "data":
        bench.choose(data_kind=str(value))
        bench.desk.row = 0
    elif name.startswith("file:"):
        _tick(bench, name.removeprefix("file:"), bool(value))
    elif name == "path":
        bench.choose(path=str(value).strip().strip('"'), data_kind="path")
        bench.desk.row = 0
    elif name == "data-hub":
        bench.choose(data_hub=hub_id(str(value)), data_kind="hub")
        bench.desk.row = 0
    elif name.startswith("column:"):
        _draw(bench, name.removeprefix("column:"), str(value))
    elif name == "row":
        _go_to(bench, str(value))
    elif name == "template":
        bench.change(lambda choices: choices.with_template(str(value)))


def on_act(bench: Bench, name: str, value: Any) -> None:
    """A button was pressed, or an upload has arrived."""
    if name in _ACTS:
        _ACTS[name](bench, value)


def _uploaded(bench: Bench, value: Any) -> None:
    bench.choose(files=[str(name) for name in value], data_kind="file")
    bench.desk.row = 0


def _tick(bench: Bench, name: str, chosen: bool) -> None:
    """Take a file to the chosen ones, or away from them."""
    files = [file for file in bench.choices().files if file != name]
    bench.choose(files=[*files, name] if chosen else files, data_kind="file")
    bench.desk.row = 0


def _draw(bench: Bench, column: str, role: str) -> None:
    seen = look(bench)
    if role not in ROLES_OF_COLUMNS:
        raise UserError(f"“{role}” is no role of a column.")
    bench.desk.drafts[seen.choices.data] = {**draft_of(bench, seen), column: role}


def _map(bench: Bench, value: Any) -> None:
    seen = look(bench)
    mapping = draft_of(bench, seen)
    check_mapping(mapping)
    if seen.state is not None and seen.state.job.active:
        bench.desk.stop(question(bench))
    bench.change(lambda choices: choices.with_mapping(mapping))
    bench.desk.row = 0


def _unmap(bench: Bench, value: Any) -> None:
    bench.desk.drafts.pop(bench.choices().data, None)
    bench.change(lambda choices: choices.with_mapping({}))


def _take(bench: Bench, value: Any) -> None:
    bench.change(lambda choices: choices.with_fix(str(value), True))


def _untake(bench: Bench, value: Any) -> None:
    bench.change(lambda choices: choices.with_fix(str(value), False))


def _go_to(bench: Bench, typed: str) -> None:
    number = typed.strip().replace(",", "").replace(" ", "")
    if not number.isdecimal():
        raise UserError(f"“{typed}” is no row number.")
    bench.desk.turn_to(int(number) - 1, look(bench).rows)


def _show(bench: Bench, value: Any) -> None:
    bench.desk.turn_to(int(value), look(bench).rows)


def _previous(bench: Bench, value: Any) -> None:
    bench.desk.turn_to(bench.desk.row - 1, look(bench).rows)


def _next(bench: Bench, value: Any) -> None:
    bench.desk.turn_to(bench.desk.row + 1, look(bench).rows)


def _random(bench: Bench, value: Any) -> None:
    bench.desk.turn_to_any(look(bench).rows)


def _worst(bench: Bench, value: Any) -> None:
    seen = look(bench)
    if seen.state is not None and seen.store is not None and len(seen.store):
        tokens = seen.state.tokens
        bench.desk.turn_to_worst(seen.store, tokens.at(seen.recipe.max_length) if tokens else None)


def _measure(bench: Bench, value: Any) -> None:
    bench.desk.measure_all(bench.choices().data)
    bench.desk.start(question(bench))


def _stop_measuring(bench: Bench, value: Any) -> None:
    bench.desk.stop(question(bench))
    bench.desk.measure_sample(bench.choices().data)


def _take_length(bench: Bench, value: Any) -> None:
    """The suggested maximum length becomes the recipe's."""
    report = look(bench).report
    if report is None or report.suggested_max_length is None:
        raise UserError("There is no suggestion any more. Look again.")
    length = report.suggested_max_length
    usual = bench.preset()[0].recipe().max_length

    def change(choices: Choices) -> Choices:
        others = {name: value for name, value in choices.changes.items() if name != "max_length"}
        return choices.with_changes(others if length == usual else {**others, "max_length": length})

    bench.change(change)


def _download(bench: Bench, value: Any) -> None:
    start_download(bench.home, bench.choices().data_hub, "dataset")


def _stop_download(bench: Bench, value: Any) -> None:
    request_stop(download_job(bench.home, bench.choices().data_hub, "dataset"))


def _cancel(bench: Bench, value: Any) -> None:
    bench.desk.stop(question(bench))


def _check(bench: Bench, value: Any) -> None:
    bench.desk.start(question(bench))


_ACTS = {
    "uploaded": _uploaded,
    "map": _map,
    "unmap": _unmap,
    "take": _take,
    "untake": _untake,
    "show": _show,
    "previous-row": _previous,
    "next-row": _next,
    "random-row": _random,
    "worst-row": _worst,
    "measure": _measure,
    "stop-measuring": _stop_measuring,
    "length": _take_length,
    "download": _download,
    "stop-download": _stop_download,
    "cancel": _cancel,
    "check": _check,
}
