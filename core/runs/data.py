"""The data of a run: what its recipe names, what is known of it before Start, and the copy it trains on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from core.base.errors import Stopped, UserError, disk_sentence
from core.base.files import replacement, sweep
from core.base.home import SAMPLE_DATA, Home, typed_path
from core.data import prepare_snapshot
from core.data.check import check_columns, ensure_store, open_store
from core.data.compare import near_leaked
from core.data.read import Split, split_files
from core.data.report import report
from core.data.scan import ScanProgress
from core.data.snapshot import SNAPSHOT_REPORT, refusal
from core.data.store import Store, sha256_of
from core.recipe import Recipe

# how the recipe names the SHA-256 of the files as they were when the run was made
_NAMES = ("source/data", "source/heldout")


def named_data(recipe: Recipe) -> list[Path]:
    """The files (or folders of them) that the recipe names."""
    if recipe.data == "sample":
        return [SAMPLE_DATA / "train.jsonl"]
    named = [recipe.data] if isinstance(recipe.data, str) else recipe.data
    return [typed_path(name) for name in named]


def data_split(recipe: Recipe) -> Split:
    """Which files the recipe trains, holds out and leaves aside.

    An own held-out file, or none at all, leave aside what the files' names would hold out.
    """
    paths = named_data(recipe)
    if recipe.data == "sample":
        return Split(paths, [SAMPLE_DATA / "heldout.jsonl"])
    split = split_files(paths, recipe.splits)
    own = [typed_path(recipe.heldout)] if recipe.heldout else []
    if own or not recipe.heldout_share:
        return replace(split, heldout=own, aside=split.heldout + split.aside)
    return split


def scan_data(
    home: Home,
    recipe: Recipe,
    say: Callable[[ScanProgress], None] = lambda progress: None,
    stop: Callable[[], object] = lambda: False,
) -> list[Store]:
    """The stores of the training rows and of the held-out files, if there are any; scanned where need be."""
    return [ensure_store(home, paths, recipe.columns, say, stop) for paths in _sources(recipe)]


def known_sources(home: Home, recipe: Recipe) -> dict[str, str]:
    """SHA-256 of the data as it was checked, for the recipe; empty where it was not checked yet.

    A UserError says why checked data can't be used. Nothing here takes long, however large the data is.
    """
    sources = _sources(recipe)
    opened = (open_store(home, paths, recipe.columns) for paths in sources)
    stores = [store for store in opened if store is not None]
    if len(stores) < len(sources):
        return {}
    check_columns(stores[0], recipe.columns)
    for store in stores:
        judged = report(store, max_length=recipe.max_length, fixes=recipe.fixes)
        if judged.verdict == "reject":
            raise UserError(refusal(store, judged.first_error))
    return _hashes(stores)


def _sources(recipe: Recipe) -> list[list[Path]]:
    split = data_split(recipe)
    return [split.train, split.heldout] if split.heldout else [split.train]


def _hashes(stores: list[Store]) -> dict[str, str]:
    return {name: sha256_of(store.summary.files) for name, store in zip(_NAMES, stores)}


def has_data(folder: Path) -> bool:
    """Whether `folder` holds the run's whole copy of its data."""
    return (folder / SNAPSHOT_REPORT).is_file()


def prepare_data(
    home: Home,
    recipe: Recipe,
    folder: Path,
    say: Callable[[float], None] = lambda share: None,
    stop: Callable[[], object] = lambda: False,
) -> None:
    """Copy the rows that the recipe trains and measures into `folder`, all of them or nothing.

    `say` hears how far it is, 0..1, in each of its parts; Stopped when `stop` says so. A UserError when
    the data can't be used, or is not what it was when the run was made.
    """

    def tick(share: float | None = None) -> None:
        if stop():
            raise Stopped
        if share is not None:
            say(share)

    stores = scan_data(home, recipe, lambda at: say(at.bytes / at.total if at.total else 0.0), stop)
    check_columns(stores[0], recipe.columns)
    for name, sha256 in _hashes(stores).items():
        if recipe.hashes.get(name, sha256) != sha256:
            raise UserError("The data changed after this run was made. Check it again and start a new run.")
    for heldout in stores[1:]:
        near_leaked(stores[0], heldout, tick)
    sweep(folder.parent)
    try:
        with replacement(folder) as temporary:
            _write(recipe, temporary, stores, tick)
    except OSError as error:
        what = "The run's copy of the data could not be written"
        raise UserError(disk_sentence(error, what, folder.parent, "press Resume")) from error


def _write(recipe: Recipe, folder: Path, stores: list[Store], tick: Callable[[float], None]) -> None:
    prepare_snapshot(
        folder,
        *stores,
        share=recipe.heldout_share,
        seed=recipe.seed,
        fixes=recipe.fixes,
        max_length=recipe.max_length,
        tick=tick,
    )
