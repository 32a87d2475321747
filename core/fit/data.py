"""The data of `fit`: row lengths from the data check's token table, so only as much as needed is planned."""

from __future__ import annotations

from pathlib import Path

from core.base.errors import UserError
from core.base.home import STARTER, Home
from core.data.check import Question, ensure_store, ensure_tokens
from core.data.measure import TokenTable
from core.data.read import Split, file_of
from core.data.snapshot import count_rows
from core.data.store import Store
from core.fit.answer import Data
from core.fit.training import Lengths
from core.models import model_folder
from core.models.folder import cached_model
from core.models.starter import ensure_starter
from core.recipe import Recipe

# all rows are measured up to so many; of more a sample, whose longest row is not the longest of all
_MEASURED_WHOLE = 20_000


def read_data(home: Home, split: Split, recipe: Recipe) -> Data:
    """Check the data as `check-data` does, and count its tokens with the model's tokenizer if it is here."""
    for path in (*split.train, *split.heldout):
        if not file_of(path).exists():
            raise UserError(f"There is no data {path}. Give a file, a folder of files, or `sample`.")
    own = tokenizer_folder(home, recipe.model)
    folder = own or ensure_starter(home)
    store, table = _measured(home, split.train, folder)
    facts = table.at(recipe.max_length) if table else None
    if table is None or facts is None or not facts.rows_kept:
        raise UserError(
            f"{split.train[0].name} has no row to train on at {recipe.max_length:,} tokens. "
            "`check-data` says why."
        )
    heldout, held_table = _measured(home, split.heldout, folder) if split.heldout else (None, None)
    terms = {"share": recipe.heldout_share, "seed": recipe.seed, "fixes": recipe.fixes}
    counts = count_rows(store, heldout, table, held_table, max_length=recipe.max_length, **terms)
    exact = table.rows_measured == len(store)
    lengths = Lengths(facts.p95, facts.p99, facts.max if exact else max(facts.max, recipe.max_length))
    note = _note(own is not None or recipe.model == STARTER, exact, table.rows_measured)
    rows = round(counts.train * facts.windows / facts.rows_kept)
    return Data(max(1, rows), facts.total / facts.windows, lengths, counts.words, note)


def _measured(home: Home, paths: list[Path], folder: Path) -> tuple[Store, TokenTable | None]:
    """The rows of these files with their lengths; of many a sample is measured."""
    store = ensure_store(home, paths)
    if not len(store):
        return store, None
    question = Question(paths, model=folder, exact=len(store) <= _MEASURED_WHOLE)
    return store, ensure_tokens(home, question, store)


def tokenizer_folder(home: Home, model: str) -> Path | None:
    """The folder of the model's own tokenizer, None where it is not on this machine."""
    path = Path(model).expanduser()
    folder = path.parent if path.is_file() else model_folder(home, model)
    if not folder.is_dir():
        folder = cached_model(model) or folder
    return folder if model != STARTER and (folder / "tokenizer.json").is_file() else None


def _note(own: bool, exact: bool, measured: int) -> str:
    notes = []
    if not own:
        notes.append("counted with the starter's tokenizer; the model's own may differ by a fifth")
    if not exact:
        notes.append(f"from a sample of {measured:,} rows; the longest may be longer than these")
    return "; ".join(notes)
