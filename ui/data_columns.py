"""The table that says what each column is, for files whose column names mean nothing."""

from __future__ import annotations

from core.data import Table
from core.data.shapes import ROLES_OF_COLUMNS
from ui.html import actions, button, esc, fold

_EXAMPLE = 120


def columns_html(table: Table, draft: dict[str, str], applied: dict[str, str], needed: bool) -> str:
    """The mapping table: open where it is needed, folded away where the columns were understood.

    draft: what the fields show; applied: what the data was read with.
    """
    if not table.columns:
        return ""
    body = _table_html(table, draft) + _buttons(draft, applied, "primary" if needed else "second")
    if needed:
        return f'<section class="lg-section" id="data-columns"><h3>Columns</h3>{body}</section>'
    title = "Columns <small>set by you</small>" if applied else "Columns <small>recognised</small>"
    return fold("data-columns", title, body)


def _table_html(table: Table, draft: dict[str, str]) -> str:
    rows = "".join(
        _row_html(place, name, _example(table, place), draft.get(name, "ignore"))
        for place, name in enumerate(table.columns)
    )
    roles = "".join(
        f"<div><dt>{esc(role)}</dt><dd>{esc(help)}</dd></div>" for role, help in ROLES_OF_COLUMNS.items()
    )
    return (
        '<table class="lg-map"><thead><tr><th scope="col">Column</th><th scope="col">First value</th>'
        f'<th scope="col">Holds</th></tr></thead><tbody>{rows}</tbody></table>'
        f"{fold('data-roles', 'What the choices mean', f'<dl class=lg-roles>{roles}</dl>')}"
    )


def _example(table: Table, place: int) -> str:
    """The first value of a column that is not empty, shortened."""
    value = next((row[place] for row in table.rows if row[place].strip()), "")
    return value if len(value) <= _EXAMPLE else value[: _EXAMPLE - 1] + "…"


def _row_html(place: int, name: str, example: str, role: str) -> str:
    options = "".join(
        f'<option value="{esc(item)}"{" selected" if item == role else ""}>{esc(item)}</option>'
        for item in ROLES_OF_COLUMNS
    )
    return (
        f'<tr><th scope="row" id="data-column-{place}-name">{esc(name)}</th><td>{esc(example)}</td>'
        f'<td><select id="data-column-{place}" data-name="column:{esc(name)}" '
        f'aria-labelledby="data-column-{place}-name">{options}</select></td></tr>'
    )


def _buttons(draft: dict[str, str], applied: dict[str, str], kind: str) -> str:
    shown = []
    if draft != applied:
        shown.append(button("data-map", "map", "Read it this way", kind))
    if applied:
        shown.append(button("data-unmap", "unmap", "Back to automatic", "quiet"))
    note = '<p class="lg-reason">Remembered for this data.</p>'
    return actions(*shown, note) if shown else ""
