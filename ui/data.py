"""The chosen data at one moment: its first rows, how the check goes, the report, the row in sight."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from core.base.errors import UserError
from core.base.files import inside
from core.base.home import SAMPLE_DATA, typed_path
from core.base.records import encode
from core.data.check import CheckState, Question, read_check, start_check, stop_check
from core.data.cleaned import Changes, save_cleaned
from core.data.measure import TokenFacts
from core.data.read import Split, list_again
from core.data.report import Report, report
from core.data.shapes import Refused, recognise
from core.data.sight import FirstRows, first_rows
from core.data.snapshot import FileRole, RowCounts, count_rows, files_of
from core.data.store import Store
from core.models.download import dataset_folder
from core.recipe import Recipe
from core.runs.data import data_split
from ui.bench import Bench
from ui.choices import Choices
from ui.models import chosen_folder

# a check that can't change any more is read again now and then; the files may
_RUNNING_S = 0.3
_SETTLED_S = 3.0


@dataclass(frozen=True)
class ChosenData:
    """`refusal` says why the data can't be read at all. state and report are None until then.

    `split` says which files are what, `tokens` are the lengths at the recipe's maximum, `counts` the rows
    that a run would train and hold out.
    """

    split: Split | None = None
    question: Question | None = None
    first: FirstRows | None = None
    state: CheckState | None = None
    report: Report | None = None
    tokens: TokenFacts | None = None
    counts: RowCounts | None = None
    columns_unknown: bool = False
    refusal: str = ""

    @property
    def store(self) -> Store | None:
        return None if self.state is None else self.state.store

    @property
    def train_rows(self) -> int:
        """How many rows a run would train; 0 while nobody knows."""
        return self.counts.train if self.counts is not None else 0

    @property
    def files(self) -> list[FileRole]:
        """Every file, and what it is."""
        if self.state is None or self.state.store is None:
            return []
        return files_of(self.state.store, self.state.heldout, self.state.aside)

    @property
    def rows(self) -> int:
        """How many rows can be looked at by now."""
        if self.store is not None and len(self.store):
            return len(self.store)
        return len(self.first.rows) if self.first is not None else 0

    @property
    def reading_left_s(self) -> float:
        """How long the reading still takes, from the rows so far; 0 while nobody knows."""
        fields = self.state.job.fields if self.state is not None else {}
        rows, speed, done, total = (
            fields.get(name) or 0 for name in ("rows", "rows_per_s", "bytes", "total")
        )
        return rows / speed * (total - done) / done if speed and done and total else 0.0

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
        return [typed_path(choices.path)] if choices.path else []
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
        split = data_split(recipe)
        first = first_rows(split.train[0])
    except UserError as problem:
        return ChosenData(refusal=str(problem))
    folder = chosen_folder(bench, choices)
    question = Question(
        paths=split.train,
        columns=choices.mapping,
        heldout=split.heldout,
        model=folder if has_tokenizer(folder) else None,
        template=choices.template,
        exact=choices.data in bench.exact,
        aside=split.aside,
    )
    state = _check(bench, question)
    judged = _report(bench, state, recipe)
    counts = _counts(bench, state, recipe) if judged is not None and judged.rows_usable else None
    tokens = _tokens(bench, state, recipe)
    return ChosenData(split, question, first, state, judged, tokens, counts, _unknown(first, choices, judged))


def has_tokenizer(folder: Path) -> bool:
    """Whether a model is there, so that tokens can be shown and counted."""
    return (folder / "tokenizer.json").is_file()


def _check(bench: Bench, question: Question) -> CheckState:
    """How the check goes. A new question starts one; what was stopped or failed stays so."""
    key = json.dumps(encode(question))

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


def start_again(bench: Bench, data: ChosenData) -> None:
    """Check again what was stopped or has failed, and list again what was too much."""
    for path in chosen_paths(bench, bench.choices()):
        list_again(path)
    if data.question is not None:
        start_check(bench.home, data.question)
        bench.memo.forget("check", "running check")


def stop(bench: Bench, data: ChosenData) -> None:
    if data.question is not None:
        stop_check(bench.home, data.question)
        bench.memo.forget("check", "running check")


def _report(bench: Bench, state: CheckState, recipe: Recipe) -> Report | None:
    """The report on what was checked, as the recipe would train it."""
    store = state.store
    if store is None:
        return None
    parts = (store, state.heldout, state.tokens, recipe.max_length, tuple(recipe.fixes))
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


def _counts(bench: Bench, state: CheckState, recipe: Recipe) -> RowCounts | None:
    """The rows that a run of the recipe would have."""
    store, measured = state.store, (state.tokens, state.heldout_tokens)
    if store is None:
        return None
    terms = {"share": recipe.heldout_share, "seed": recipe.seed, "fixes": tuple(recipe.fixes)}
    return bench.memo.get(
        "counts",
        (store, state.heldout, *measured, *terms.values(), recipe.max_length),
        lambda: count_rows(store, state.heldout, *measured, max_length=recipe.max_length, **terms),
        keep=4,
    )


def _tokens(bench: Bench, state: CheckState, recipe: Recipe) -> TokenFacts | None:
    table = state.tokens
    if table is None or not table.rows_measured:
        return None
    return bench.memo.get("tokens", (table, recipe.max_length), lambda: table.at(recipe.max_length))


def _unknown(first: FirstRows, choices: Choices, judged: Report | None) -> bool:
    """Whether the first rows have columns that mean nothing, as far as nobody has said more."""
    if choices.mapping or (judged is not None and judged.rows_usable):
        return False
    shapes = [recognise(row) for row in first.rows]
    return bool(shapes) and all(isinstance(one, Refused) and one.kind == "unknown columns" for one in shapes)


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
