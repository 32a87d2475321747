"""The first rows as they stand in the file."""

from __future__ import annotations

from core.data import Table
from ui.html import esc

_CELL = 160


def table_html(table: Table, name: str) -> str:
    """The first rows of the file called `name`, every cell as text."""
    if not table.rows:
        return ""
    head = "".join(f"<th scope='col'>{esc(column)}</th>" for column in ("Row", *table.columns))
    body = "".join(
        f"<tr><th scope='row'>{esc(where)}</th>" + "".join(f"<td>{esc(_short(cell))}</td>" for cell in cells)
        for where, cells in zip(table.where, table.rows)
    )
    caption = f"The first rows of {esc(name)}, as they stand there"
    return (
        f'<div class="lg-table" tabindex="0" role="region" aria-label="First rows"><table id="data-table">'
        f"<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _short(cell: str) -> str:
    return cell if len(cell) <= _CELL else cell[: _CELL - 1] + "…"
