"""One look at the chosen data: everything that the parts of the Data step need, read at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.base.errors import UserError
from core.data.check import CheckState, Question
from core.data.report import Report
from core.data.shapes import Refused, guess_columns, recognise
from core.data.sight import FirstRows, RowInSight, first_in_sight, first_rows, in_sight
from core.data.snapshot import wanted
from core.data.store import Store
from core.recipe import Recipe
from core.runs.data import data_paths
from ui.bench import Bench
from ui.choices import Choices


@dataclass(frozen=True)
class Look:
    """`refusal` says why the data can't be read at all. state and report are None until then."""

    choices: Choices
    recipe: Recipe
    first: FirstRows | None = None
    state: CheckState | None = None
    report: Report | None = None
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
    def checked(self) -> bool:
        return self.report is not None

    @property
    def columns_unknown(self) -> bool:
        """Whether the first rows have columns that mean nothing, as far as nobody has said more."""
        if self.report is not None and self.report.rows_usable:
            return False
        rows = self.first.rows if self.first is not None and not self.choices.mapping else []
        found = [recognise(row) for row in rows]
        refused = [isinstance(one, Refused) and one.kind == "unknown columns" for one in found]
        return bool(refused) and all(refused)


def look(bench: Bench) -> Look:
    """Read the choices, the first rows and how the check goes. Starts the check of new data."""
    choices = bench.choices()
    recipe = bench.recipe_so_far()
    paths = bench.data_paths()
    if not paths:
        return Look(choices, recipe)
    try:
        first = first_rows(paths[0])
    except UserError as problem:
        return Look(choices, recipe, refusal=str(problem))
    state = bench.desk.check(question(bench))
    return Look(choices, recipe, first, state, bench.desk.report(state, recipe))


def question(bench: Bench) -> Question:
    """What the check is to find out about the chosen data."""
    choices = bench.choices()
    folder = bench.model_folder()
    return Question(
        paths=bench.data_paths(),
        columns=choices.mapping,
        heldout=data_paths(bench.recipe_so_far())[1],
        model=folder if has_tokenizer(folder) else None,
        template=choices.template,
        exact=bench.desk.exact(choices.data),
    )


def draft_of(bench: Bench, seen: Look) -> dict[str, str]:
    """What the mapping table shows: what was set in it, else what holds, else a guess."""
    if seen.first is None:
        return {}
    drawn = bench.desk.drafts.get(seen.choices.data) or seen.choices.mapping
    columns = seen.first.table.columns
    guess = guess_columns(columns, [row.data for row in seen.first.rows])
    return {column: drawn.get(column, "ignore" if drawn else guess[column]) for column in columns}


def rows_to_train(report: Report, recipe: Recipe) -> int:
    """The usable rows without those that will be held out."""
    if data_paths(recipe)[1] is not None:
        return report.rows_usable
    return report.rows_usable - wanted(report.rows_usable, recipe.heldout_share)


def row_in_sight(bench: Bench, seen: Look) -> RowInSight | str:
    """The row that is looked at, or why there is none. Before the check is done, one of the first rows."""
    if seen.store is not None and len(seen.store):
        return in_sight(seen.store, bench.desk.row, seen.recipe.fixes)
    if seen.first is None:
        return ""
    return first_in_sight(seen.first, bench.desk.row, draft_of(bench, seen) if seen.columns_unknown else {})


def has_tokenizer(folder: Path) -> bool:
    """Whether a model is there, so that tokens can be shown and counted."""
    return (folder / "tokenizer.json").is_file()
