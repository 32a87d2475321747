"""Rows to look at: the first ones at once, any one of a store as it would be trained, the worst ones."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.base.errors import UserError
from core.base.looks import look
from core.data.doctor import rewrite
from core.data.kinds import BITS, KINDS
from core.data.measure import TokenFacts
from core.data.read import Row, Table, expand, file_of, preview_rows, read_rows
from core.data.shapes import Message, Recognised, recognise
from core.data.store import Store, text_fixes

_FIRST_ROWS = 20
_TABLE_ROWS = 5
_WEIGHTS = {"error": 100, "warning": 10, "note": 1}
_WORST = 50


@dataclass(frozen=True)
class FirstRows:
    """The first rows of the data, read at once however large it is. `problem`: why there are no more."""

    name: str
    table: Table
    rows: list[Row]
    problem: str = ""


@dataclass(frozen=True)
class RowInSight:
    """One row as it would be trained. `changed`: kinds whose fix changed it; `left_out`: why it isn't."""

    messages: list[Message]
    where: str
    number: int
    total: int
    changed: list[str] = field(default_factory=list)
    left_out: str = ""


def first_rows(path: Path) -> FirstRows:
    """The first rows of a file, or of a folder's first file. A UserError when it can't be used at all."""
    file = expand([path])[0]
    status = file_of(file).stat()
    return look(file, partial(_first_rows, file, status.st_mtime_ns, status.st_size))


def first_in_sight(first: FirstRows, number: int, columns: dict[str, str]) -> RowInSight | str:
    """One of the first rows while there is no store; the reason when it can't be shown."""
    if not first.rows:
        return first.problem
    number = min(number, len(first.rows) - 1)
    row = first.rows[number]
    recognised = recognise(row, columns)
    if isinstance(recognised, Recognised):
        return RowInSight(recognised.messages, row.where, number, len(first.rows))
    return f"{row.where} {recognised.reason}."


def in_sight(store: Store, number: int, fixes: Collection[str]) -> RowInSight:
    """A row of the store as it reads after the fixes."""
    number = min(number, len(store) - 1)
    row = store.row(number)
    messages, changed = rewrite(row.messages, text_fixes(fixes))
    kind = str(_fate(store, tuple(fixes))[number])
    left_out = f"you took the fix for {kind}" if kind and KINDS[kind].fix else kind
    return RowInSight(messages, row.where, number, len(store), changed, left_out)


def worst_rows(store: Store, facts: TokenFacts | None = None) -> list[int]:
    """The numbers of the worst rows, worst first; without any problem, of the longest ones."""
    weight = np.zeros(len(store), np.int64)
    for kind, bit in BITS.items():
        weight += _WEIGHTS[KINDS[kind].severity] * ((store.flags & np.uint64(bit)) != 0)
    if facts is not None:
        for rows in (facts.cut, facts.lost, facts.zero):
            weight[rows] += _WEIGHTS["warning"]
    if not weight.any():
        weight = store.chars.astype(np.int64)
    order = np.argsort(-weight, kind="stable")[:_WORST]
    return [int(row) for row in order if weight[row]] or [0]


@lru_cache(maxsize=2)
def _fate(store: Store, fixes: tuple[str, ...]) -> NDArray[np.object_]:
    return store.fate(fixes)


@lru_cache(maxsize=8)
def _first_rows(file: Path, modified: int, size: int) -> FirstRows:
    rows: list[Row] = []
    problem = ""
    try:
        rows.extend(row for row in islice(read_rows(file), _FIRST_ROWS) if isinstance(row, Row))
    except UserError as refusal:
        problem = str(refusal)
    table = preview_rows(file, _TABLE_ROWS) if rows else Table([], [], [])
    return FirstRows(file.name, table, rows, problem)
