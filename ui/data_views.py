"""What each part of the Data step shows, put together from one look at the data."""

from __future__ import annotations

from core.base.errors import UserError
from core.data.check import CheckState
from core.fit.estimate import RunTime
from ui.bench import Bench
from ui.data_check import reject_reason, state_html
from ui.data_columns import columns_html
from ui.data_first import table_html
from ui.data_look import Look, draft_of, has_tokenizer, look, row_in_sight, rows_to_train
from ui.data_numbers import Numbers, numbers_html
from ui.data_numbers import waiting_html as no_numbers
from ui.data_preview import Shown, failed_html, preview_html, templates_html
from ui.data_preview import waiting_html as no_row
from ui.data_problems import cleaned_html, problems_html
from ui.fit import fit_of
from ui.fit_time import time_of
from ui.html import notice, primary


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
    return problems_html(bench.desk.entries(seen.report), seen.choices.taken)


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
            time=_time(bench),
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


def _time(bench: Bench) -> RunTime | None:
    try:
        return time_of(bench, fit_of(bench))
    except UserError:
        return None


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
