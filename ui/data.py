"""The chosen data at one moment: its first rows, how the check goes, the report, the row in sight."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.base.errors import UserError
from core.base.files import inside
from core.base.home import SAMPLE_DATA
from core.data import Table, preview_rows, read_rows
from core.data.check import CheckState, Question, read_check, start_check, stop_check
from core.data.cleaned import Changes, save_cleaned
from core.data.compare import leaked
from core.data.doctor import rewrite
from core.data.kinds import BITS, KINDS
from core.data.measure import TokenFacts
from core.data.read import Row, expand
from core.data.report import Problem, Report, report
from core.data.shapes import Message, Recognised, Refused, guess_columns, recognise
from core.data.split import wanted
from core.data.store import Store, text_fixes
from core.hub.download import dataset_folder
from core.recipe import Recipe
from core.runs.data import data_paths
from ui.bench import Bench
from ui.choices import Choices
from ui.memo import Same, stamp
from ui.models import chosen_folder

_FIRST_ROWS = 20
_TABLE_ROWS = 5
_WEIGHTS = {"error": 100, "warning": 10, "note": 1}
_WORST = 50
_PLACES = 8
# a check that can't change any more is read again now and then; the files may
_RUNNING_S = 0.3
_SETTLED_S = 3.0


@dataclass(frozen=True)
class First:
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


@dataclass(frozen=True)
class ProblemRow:
    """One row of a problem: its number in the store (None where it could not be made a row), and why."""

    where: str
    reason: str = ""
    number: int | None = None


@dataclass(frozen=True)
class ChosenData:
    """`refusal` says why the data can't be read at all. state and report are None until then.

    `tokens` are the lengths at the recipe's maximum, `train_rows` the rows without those that are held out.
    """

    question: Question | None = None
    first: First | None = None
    state: CheckState | None = None
    report: Report | None = None
    tokens: TokenFacts | None = None
    train_rows: int = 0
    columns_unknown: bool = False
    refusal: str = ""

    @property
    def store(self) -> Store | None:
        return None if self.state is None else self.state.store

    @property
    def rows(self) -> int:
        """How many rows can be looked at by now."""
        if self.store is not None and len(self.store):
            return len(self.store)
        return len(self.first.rows) if self.first is not None else 0

    @property
    def partial(self) -> bool:
        """Whether only a sample of the rows was measured."""
        return (
            self.store is not None and self.tokens is not None and self.tokens.rows_measured < len(self.store)
        )

    @property
    def counting(self) -> str:
        """How far the counting of tokens is, in words; empty when it isn't going on."""
        if self.state is None or not self.state.job.active or not self.state.missing:
            return ""
        done, total = (self.state.job.fields.get(name) for name in ("measured", "to_measure"))
        return f"Counting tokens: {done:,} of {total:,} rows" if done and total else "Counting tokens …"


def chosen_paths(bench: Bench, choices: Choices) -> list[Path]:
    """The files or folders with the training rows; none while nothing is chosen."""
    if choices.data_kind == "sample":
        return [SAMPLE_DATA / "train.jsonl"]
    if choices.data_kind == "path":
        return [Path(choices.path).expanduser()] if choices.path else []
    if choices.data_kind == "hub":
        folder = dataset_folder(bench.home, choices.data_hub)
        return [folder] if choices.data_hub and folder.is_dir() else []
    return [inside(bench.home.datasets, name) for name in choices.files]


def chosen_data(bench: Bench, choices: Choices, recipe: Recipe) -> ChosenData:
    """Read the first rows and how the check goes. Starts the check of new data."""
    try:
        paths = chosen_paths(bench, choices)
        if not paths:
            return ChosenData()
        first = _first_rows(bench, paths[0])
    except UserError as problem:
        return ChosenData(refusal=str(problem))
    folder = chosen_folder(bench, choices)
    question = Question(
        paths=paths,
        columns=choices.mapping,
        heldout=data_paths(recipe)[1],
        model=folder if has_tokenizer(folder) else None,
        template=choices.template,
        exact=choices.data in bench.exact,
    )
    state = _check(bench, question)
    judged = _report(bench, state, recipe)
    rows = 0
    if judged is not None:
        held = 0 if question.heldout is not None else wanted(judged.rows_usable, recipe.heldout_share)
        rows = judged.rows_usable - held
    return ChosenData(
        question, first, state, judged, _tokens(bench, state, recipe), rows, _unknown(first, choices, judged)
    )


def has_tokenizer(folder: Path) -> bool:
    """Whether a model is there, so that tokens can be shown and counted."""
    return (folder / "tokenizer.json").is_file()


def _first_rows(bench: Bench, path: Path) -> First:
    """The first rows of a file, or of a folder's first file. A UserError when it can't be used at all."""
    file = expand([path])[0]

    def read() -> First:
        rows: list[Row] = []
        problem = ""
        try:
            rows.extend(row for row in islice(read_rows(file), _FIRST_ROWS) if isinstance(row, Row))
        except UserError as refusal:
            problem = str(refusal)
        table = preview_rows(file, _TABLE_ROWS) if rows else Table([], [], [])
        return First(file.name, table, rows, problem)

    return bench.memo.get("first rows", (file, stamp(file)), read)


def _check(bench: Bench, question: Question) -> CheckState:
    """How the check goes. A new question starts one; what was stopped or failed stays so."""
    key = json.dumps(question.to_json())

    def read() -> CheckState:
        before = bench.checked
        if before is not None and before[1].job.active and before[0].paths != question.paths:
            # nobody waits for the data that was chosen before
            stop_check(bench.home, before[0])
        state = read_check(bench.home, question)
        if state.missing and not state.asked and not state.job.active:
            start_check(bench.home, question)
            state = read_check(bench.home, question)
        if question.exact and state.tokens is None:
            # the sample's numbers stay on the page while all rows are measured
            state = replace(state, tokens=read_check(bench.home, replace(question, exact=False)).tokens)
        bench.checked = (question, state)
        return state

    state = bench.memo.get("check", key, read, keep=1, for_s=_SETTLED_S)
    if state.missing:
        # all that is drawn in one moment reads the same state; after it, how far the check is by then
        return bench.memo.get("running check", key, read, keep=1, for_s=_RUNNING_S)
    return state


def start_again(bench: Bench, question: Question) -> None:
    """Check again what was stopped or has failed."""
    start_check(bench.home, question)
    bench.memo.forget("check", "running check")


def stop(bench: Bench, question: Question) -> None:
    stop_check(bench.home, question)
    bench.memo.forget("check", "running check")


def _report(bench: Bench, state: CheckState, recipe: Recipe) -> Report | None:
    """The report on what was checked, as the recipe would train it."""
    store = state.store
    if store is None:
        return None
    parts = (Same(store), Same(state.heldout), Same(state.tokens), recipe.max_length, tuple(recipe.fixes))
    return bench.memo.get(
        "report",
        parts,
        lambda: report(
            store,
            tokens=state.tokens,
            max_length=recipe.max_length,
            fixes=recipe.fixes,
            heldout=state.heldout,
        ),
        keep=4,
    )


def _tokens(bench: Bench, state: CheckState, recipe: Recipe) -> TokenFacts | None:
    table = state.tokens
    if table is None or not table.rows_measured:
        return None
    return bench.memo.get("tokens", (Same(table), recipe.max_length), lambda: table.at(recipe.max_length))


def _unknown(first: First, choices: Choices, judged: Report | None) -> bool:
    """Whether the first rows have columns that mean nothing, as far as nobody has said more."""
    if choices.mapping or (judged is not None and judged.rows_usable):
        return False
    shapes = [recognise(row) for row in first.rows]
    return bool(shapes) and all(isinstance(one, Refused) and one.kind == "unknown columns" for one in shapes)


def draft_roles(bench: Bench, choices: Choices, data: ChosenData) -> dict[str, str]:
    """What the mapping table shows: what was set in it, else what holds, else a guess."""
    if data.first is None:
        return {}
    drawn = bench.drafts.get(choices.data) or choices.mapping
    columns = data.first.table.columns
    guess = guess_columns(columns, [row.data for row in data.first.rows])
    return {column: drawn.get(column, "ignore" if drawn else guess[column]) for column in columns}


def row_in_sight(
    bench: Bench, choices: Choices, data: ChosenData, fixes: Collection[str]
) -> RowInSight | str:
    """The row that is looked at, or why there is none. Before the check is done, one of the first rows."""
    if data.store is not None and len(data.store):
        return _stored_row(bench, data.store, bench.row, fixes)
    if data.first is None or not data.first.rows:
        return data.first.problem if data.first is not None else ""
    number = min(bench.row, len(data.first.rows) - 1)
    row = data.first.rows[number]
    shape = recognise(row, draft_roles(bench, choices, data) if data.columns_unknown else {})
    if isinstance(shape, Recognised):
        return RowInSight(shape.messages, row.where, number, len(data.first.rows))
    return f"{row.where} {shape.reason}."


def _stored_row(bench: Bench, store: Store, number: int, fixes: Collection[str]) -> RowInSight:
    """A row of the store as it reads after the fixes."""
    number = min(number, len(store) - 1)
    row = store.row(number)
    messages, changed = rewrite(row.messages, text_fixes(fixes))
    fate = bench.memo.get("fate", (Same(store), tuple(fixes)), lambda: store.fate(fixes), keep=2)
    kind = str(fate[number])
    left_out = f"you took the fix for {kind}" if kind and KINDS[kind].fix else kind
    return RowInSight(messages, row.where, number, len(store), changed, left_out)


def worst_rows(store: Store, tokens: TokenFacts | None = None) -> list[int]:
    """The worst rows first; without any problem, the longest ones."""
    weight = np.zeros(len(store), np.int64)
    for kind, bit in BITS.items():
        weight += _WEIGHTS[KINDS[kind].severity] * ((store.flags & np.uint64(bit)) != 0)
    if tokens is not None:
        for rows in (tokens.cut, tokens.lost, tokens.zero):
            weight[rows] += _WEIGHTS["warning"]
    if not weight.any():
        weight = store.chars.astype(np.int64)
    order = np.argsort(-weight, kind="stable")[:_WORST]
    return [int(row) for row in order if weight[row]] or [0]


def problem_rows(
    bench: Bench, data: ChosenData, problem: Problem, fixes: Collection[str]
) -> list[ProblemRow]:
    """The first rows that a problem names, with their numbers where they can be looked at."""
    store = data.store
    if store is None:
        return []

    def look_up() -> list[ProblemRow]:
        entry = store.summary.found.get(problem.kind)
        reasons = entry.reasons if entry is not None else []
        numbers: list[int | None] = [
            *map(int, _rows_with(problem.kind, store, data, fixes)[: len(problem.rows)])
        ]
        numbers += [None] * (len(problem.rows) - len(numbers))
        return [
            ProblemRow(where, reasons[place] if place < len(reasons) else "", number)
            for place, (where, number) in enumerate(zip(problem.rows[:_PLACES], numbers))
        ]

    return bench.memo.get("problem rows", (Same(data.report), problem.kind), look_up, keep=60)


def _rows_with(kind: str, store: Store, data: ChosenData, fixes: Collection[str]) -> NDArray[np.int64]:
    """All rows of a kind, in the order in which the report names them."""
    if kind == "near-duplicates":
        return store.near[:, 0]
    if kind == "held-out leak" and data.state is not None and data.state.heldout is not None:
        return leaked(store, data.state.heldout, store.select(fixes), fixes)
    if data.state is not None and data.state.tokens is not None and data.tokens is not None:
        measured = {
            "over-long": data.tokens.cut,
            "answer cut away": data.tokens.lost,
            "nothing trained": data.tokens.zero,
            "rewritten answers": data.state.tokens.rewritten,
            "lost characters": data.state.tokens.lost_characters,
        }
        if kind in measured:
            return measured[kind]
    return store.having(kind)


def cleaned(bench: Bench, store: Store, fixes: Collection[str]) -> Changes:
    """The cleaned copy for these fixes; the last one is kept beside the store."""
    file = store.folder.parent / "cleaned" / "cleaned.jsonl"

    def write() -> Changes:
        file.parent.mkdir(exist_ok=True)
        return save_cleaned(store, fixes, file)

    with bench.cleaning:
        if not file.is_file():
            bench.memo.forget("cleaned")
        return bench.memo.get("cleaned", (file, tuple(fixes)), write, keep=1)
