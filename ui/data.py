"""Step 2, Data: which data, what the check found in it, what the model will see, and what it costs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from core.dataset.check import CheckState
from core.dataset.report import Report
from core.dataset.shapes import ROLES_OF_COLUMNS, check_mapping
from core.dataset.split import wanted
from core.download import download_job, start_download
from core.errors import UserError
from core.estimate import Speed
from core.jobs import request_stop
from core.models import inspect_model
from core.recipe import Recipe
from core.runs import data_paths
from ui import data_files
from ui.bench import Bench
from ui.choices import Choices
from ui.data_check import reject_reason, state_html
from ui.data_columns import columns_html
from ui.data_first import table_html
from ui.data_look import Look, draft_of, has_tokenizer, look, question, row_in_sight
from ui.data_numbers import Numbers, numbers_html
from ui.data_numbers import waiting_html as no_numbers
from ui.data_preview import Shown, failed_html, preview_html, templates_html
from ui.data_preview import waiting_html as no_row
from ui.data_problems import cleaned_html, problems_html
from ui.download import hub_id
from ui.html import heading, notice, primary
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


# ----- what the person does


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


# ----- what the page shows


def state_view(bench: Bench) -> str:
    """How the check goes, then the verdict."""
    seen = look(bench)
    if seen.refusal:
        return notice("bad", "This data can’t be read", seen.refusal)
    if seen.report is not None and seen.columns_unknown:
        names = ", ".join(f"“{name}”" for name in seen.first.table.columns[:8]) if seen.first else ""
        sentence = f"Nothing can be told from their names: {names}. Say below what each one holds."
        return notice("warn", "What are the columns?", sentence)
    return "" if seen.state is None else state_html(seen.state, seen.report)


def mapping_view(bench: Bench) -> str:
    """The table of columns; wide open where they mean nothing."""
    seen = look(bench)
    if seen.first is None:
        return ""
    return columns_html(seen.first.table, draft_of(bench, seen), seen.choices.mapping, seen.columns_unknown)


def found_view(bench: Bench) -> str:
    """The problems with their fixes."""
    seen = look(bench)
    if seen.report is None or seen.state is None or seen.columns_unknown:
        return ""
    return problems_html(bench.desk.entries(seen.report, seen.state, seen.recipe), seen.choices.taken)


def row_view(bench: Bench) -> str:
    """One row as the model sees it."""
    seen = look(bench)
    if seen.first is None:
        return ""
    folder = bench.model_folder()
    if not has_tokenizer(folder):
        return no_row("The rows appear here as soon as the model is on this machine.")
    row = row_in_sight(bench, seen)
    if isinstance(row, str):
        return no_row(row)
    try:
        tokenizer = bench.tokenizer(folder)
    except UserError as problem:
        return failed_html(str(problem))
    shown = Shown(
        encoded=bench.desk.encoded(tokenizer, row, seen.recipe.max_length),
        where=row.where,
        number=row.number,
        total=row.total,
        limit=seen.recipe.max_length,
        template=tokenizer.template_source,
        first_only=not seen.store,
        changed=row.changed,
        left_out=row.left_out,
    )
    own = tokenizer.template_name == "model"
    choice = "" if own else templates_html(tokenizer.fitting_templates, tokenizer.template_name)
    return preview_html(shown, choice)


def numbers_view(bench: Bench) -> str:
    """Lengths, totals, steps and time."""
    seen = look(bench)
    state, report = seen.state, seen.report
    if state is None or report is None or state.store is None or not len(state.store):
        return ""
    if state.tokens is None or not state.tokens.rows_measured:
        return _no_numbers(bench, state)
    return numbers_html(
        Numbers(
            report=report,
            store=state.store,
            recipe=seen.recipe,
            speed=_speed(bench, seen.recipe),
            tokens=state.tokens,
            rows=rows_to_train(report, seen.recipe),
            wait=_counting(state),
            share=state.job.progress,
            failure=state.failure,
        )
    )


def _no_numbers(bench: Bench, state: CheckState) -> str:
    if not has_tokenizer(bench.model_folder()):
        return no_numbers("Tokens are counted as soon as the model is on this machine.")
    return no_numbers(state.failure or _counting(state) or "Counting tokens …")


def _counting(state: CheckState) -> str:
    """How far the counting of tokens is, in words; empty when it isn't going on."""
    if not state.job.active or not state.missing:
        return ""
    done, total = state.job.fields.get("measured"), state.job.fields.get("to_measure")
    return f"Counting tokens: {done:,} of {total:,} rows" if done and total else "Counting tokens …"


def rows_to_train(report: Report, recipe: Recipe) -> int:
    """The usable rows without those that will be held out."""
    if data_paths(recipe)[1] is not None:
        return report.rows_usable
    return report.rows_usable - wanted(report.rows_usable, recipe.heldout_share)


def _speed(bench: Bench, recipe: Recipe) -> Speed | None:
    try:
        parameters = inspect_model(bench.model_folder()).parameters
    except UserError:
        return None
    return bench.desk.speed(recipe, bench.hardware, parameters)


def first_view(bench: Bench) -> str:
    """The first rows of the first file."""
    seen = look(bench)
    return "" if seen.first is None else table_html(seen.first.table, seen.first.name)


def next_view(bench: Bench) -> str:
    """The way on, closed while the data can't be used; beside it the cleaned copy."""
    seen = look(bench)
    beside = cleaned_html() if seen.report is not None and seen.report.rows_usable else ""
    return primary("data", "Use this data", "preset", _reason(seen), beside)


def _reason(seen: Look) -> str:
    """Why the data can't be used yet; empty when it can."""
    if seen.refusal:
        return "This data can’t be read."
    if seen.state is None:
        waiting = seen.choices.data_kind == "hub" and seen.choices.data
        return "Download the data first." if waiting else "Choose the data first."
    if seen.report is None:
        return "The data isn’t checked." if seen.state.failure else "The check isn’t done yet."
    if seen.columns_unknown:
        return "Say what the columns are first."
    if seen.report.verdict == "reject":
        return reject_reason(seen.report)
    return ""
