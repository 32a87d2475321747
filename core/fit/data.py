"""The data of `fit`: row lengths from the data check's token table, so only as much as needed is planned."""

from __future__ import annotations

from pathlib import Path

from core.base.errors import UserError
from core.base.home import STARTER, Home, data_path
from core.data.check import Question, ensure_store, ensure_tokens
from core.data.measure import TokenTable
from core.data.snapshot import wanted
from core.fit.answer import Data
from core.fit.training import Lengths
from core.models import model_folder
from core.models.folder import cached_model
from core.models.starter import ensure_starter
from core.recipe import Recipe

# all rows are measured up to so many; of more a sample, whose longest row is not the longest of all
_MEASURED_WHOLE = 20_000


def read_data(home: Home, name: str, recipe: Recipe) -> Data:
    """Check the data as `check-data` does, and count its tokens with the model's tokenizer if it is here."""
    path = data_path(name)
    if not path.exists():
        raise UserError(f"There is no data {path}. Give a file, a folder of files, or `sample`.")
    own = tokenizer_folder(home, recipe.model)
    table, rows = _measured(home, path, own)
    facts = table.at(recipe.max_length) if table else None
    if table is None or facts is None or not facts.rows_kept:
        raise UserError(
            f"{name} has no row to train on at {recipe.max_length:,} tokens. `check-data` says why."
        )
    exact = table.rows_measured == rows
    usable = round(rows * facts.windows / facts.rows_measured)
    # the sample has a held-out file of its own
    held_out = 0 if name == "sample" else wanted(usable, recipe.heldout_share)
    lengths = Lengths(facts.p95, facts.p99, facts.max if exact else max(facts.max, recipe.max_length))
    note = _note(own is not None or recipe.model == STARTER, exact, table.rows_measured)
    return Data(max(1, usable - held_out), facts.total / facts.windows, lengths, note)


def _measured(home: Home, path: Path, tokenizer: Path | None) -> tuple[TokenTable | None, int]:
    """The lengths of the rows, and how many rows there are; of many a sample is measured."""
    store = ensure_store(home, [path])
    if not len(store):
        return None, 0
    folder = tokenizer or ensure_starter(home)
    question = Question([path], model=folder, exact=len(store) <= _MEASURED_WHOLE)
    return ensure_tokens(home, question, store), len(store)


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
