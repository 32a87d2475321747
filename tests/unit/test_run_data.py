"""The run's data: small work at Start, the copy made by the worker, whole or not at all, of what was seen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.base.errors import Stopped, UserError
from core.base.files import sha256_file
from core.base.home import APP_FOLDER, Home
from core.data import read_snapshot
from core.recipe import Recipe
from core.runs import data as run_data
from core.runs.data import has_data, known_sources, prepare_data, scan_data
from core.runs.run import create_run
from tests.unit.datasets import big_rows, pairs, write_rows


@pytest.fixture
def recipe(tmp_path: Path, tiny_model: Path) -> Recipe:
    return Recipe(model=str(tiny_model), data=str(write_rows(tmp_path / "data.jsonl", pairs(60))))


def test_what_was_checked_before_start_is_noted_and_nothing_is_read_again(
    home: Home, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    unchecked = create_run(home, recipe.with_changes(hashes={"data/train.jsonl": "of another run"}))
    assert unchecked.recipe.hashes == {}
    scan_data(home, recipe)
    monkeypatch.setattr(run_data, "ensure_store", None)
    monkeypatch.setattr(run_data, "prepare_snapshot", None)
    run = create_run(home, recipe)
    assert run.recipe.hashes == {"source/data": sha256_file(Path(str(recipe.data)))}
    assert not has_data(run.data)


def test_both_files_are_noted(home: Home, recipe: Recipe, tmp_path: Path) -> None:
    held = write_rows(tmp_path / "held.jsonl", pairs(3, 100))
    recipe = recipe.with_changes(heldout=str(held))
    assert known_sources(home, recipe) == {}
    scan_data(home, recipe)
    assert known_sources(home, recipe)["source/heldout"] == sha256_file(held)
    write_rows(held, [{"question": "Who?", "answer": ""}])
    scan_data(home, recipe)
    with pytest.raises(UserError, match="held.jsonl"):
        known_sources(home, recipe)


def test_data_that_changed_after_start_is_not_trained(home: Home, recipe: Recipe) -> None:
    scan_data(home, recipe)
    run = create_run(home, recipe)
    write_rows(Path(str(recipe.data)), pairs(61))
    with pytest.raises(UserError, match="changed after this run was made"):
        prepare_data(home, run.recipe, run.data)
    write_rows(Path(str(recipe.data)), pairs(60))
    prepare_data(home, run.recipe, run.data)
    assert has_data(run.data)


def test_stopped_half_way_nothing_is_left_and_it_can_be_made_again(home: Home, recipe: Recipe) -> None:
    run = create_run(home, recipe)
    shares: list[float] = []

    def stop() -> bool:
        return any(run.folder.glob(".data*"))

    with pytest.raises(Stopped):
        prepare_data(home, run.recipe, run.data, shares.append, stop)
    assert [path.name for path in run.folder.iterdir()] == ["recipe.yaml"]
    prepare_data(home, run.recipe, run.data, shares.append)
    assert shares and all(0 <= share <= 1 for share in shares)
    assert sum(map(len, read_snapshot(run.data))) == 60


KILLED = """
import os, sys
from pathlib import Path
from core.data import snapshot
from core.base.home import open_home
from core.recipe import Recipe
from core.runs.data import prepare_data
snapshot.write_json = lambda path, value: os.kill(os.getpid(), 9)
folder = Path(sys.argv[1])
prepare_data(open_home(folder.parent.parent), Recipe.load(folder / "recipe.yaml"), folder / "data")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_half_way_the_next_start_makes_it_whole(home: Home, recipe: Recipe) -> None:
    run = create_run(home, recipe)
    code = subprocess.run([sys.executable, "-c", KILLED, str(run.folder)], cwd=APP_FOLDER).returncode
    assert code == -9 and not has_data(run.data) and list(run.folder.glob(".data*.aside"))
    prepare_data(home, run.recipe, run.data)
    assert sorted(path.name for path in run.folder.iterdir()) == ["data", "recipe.yaml"]
    assert sum(map(len, read_snapshot(run.data))) == 60


def test_a_full_disk_leaves_no_half_copy(
    home: Home, tmp_path: Path, little_disk: Path, tiny_model: Path
) -> None:
    data = write_rows(tmp_path / "data.jsonl", big_rows(200))
    with pytest.raises(UserError, match="could not be written.*Free some space, then press Resume"):
        prepare_data(home, Recipe(model=str(tiny_model), data=str(data)), little_disk / "data")
    assert os.listdir(little_disk) == []


def test_what_is_wrong_with_unchecked_data_names_file_and_row(home: Home, recipe: Recipe) -> None:
    run = create_run(home, recipe)
    write_rows(Path(str(recipe.data)), [*pairs(5), "{broken"])
    with pytest.raises(UserError, match="data.jsonl, line 6"):
        prepare_data(home, run.recipe, run.data)
    assert not has_data(run.data)
