"""Runs: folders made whole or not at all, found again, and read by replaying their events."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.base.files import write_json
from core.base.home import Home, open_home
from core.data import read_snapshot
from core.recipe import Recipe
from core.runs import run as runs
from core.runs.data import prepare_data, scan_data
from core.runs.progress import fold
from tests.unit.datasets import pairs, write_rows

T = {"t": "2026-11-21T00:00:00+00:00"}


def event(kind: str, **fields) -> dict:
    return {**T, "kind": kind, **fields}


def test_fold_a_run_that_was_killed_and_resumed() -> None:
    """Steps 3 and 4 were logged, but the checkpoint stands at 2: the curve goes on from there."""
    progress = fold(
        [
            event("started", step=0, total_steps=6, engine="unsloth", reason="it imports", precision="fp32"),
            event("stage", stage="training"),
            event("eval", step=0, loss=3.0),
            *[event("log", step=step, loss=3.0 - step / 10, total_steps=6, eta_s=9) for step in (1, 2, 3, 4)],
            event("eval", step=4, loss=2.0),
            event("started", step=2, total_steps=6, engine="unsloth"),
            event("warning", message="One checkpoint was damaged."),
            event("log", step=3, loss=2.7, tokens_per_s=90.0, memory=10**9, eta_s=4),
            event("eval", step=3, loss=2.5),
            event("summary", steps=6, heldout_loss_base=3.0),
            event("something new"),
        ]
    )
    assert progress.points == [(1, 2.9), (2, 2.8), (3, 2.7)]
    assert progress.heldout == [(0, 3.0), (3, 2.5)]
    assert (progress.step, progress.total_steps, progress.engine) == (3, 6, "unsloth")
    assert (progress.tokens_per_s, progress.memory, progress.eta_s) == (90.0, 10**9, None)
    assert progress.warnings == ["One checkpoint was damaged."]
    assert progress.summary == {"steps": 6, "heldout_loss_base": 3.0}


def test_a_loss_that_is_no_number_draws_no_point() -> None:
    progress = fold([event("log", step=1, loss="nan"), event("log", step=2, loss=1.0)])
    assert progress.points == [(2, 1.0)]


def make_run(home: Home, name: str) -> runs.Run:
    run = runs.Run(home.runs / name)
    Recipe(name=name).save(run.folder / "recipe.yaml")
    return run


def test_the_newest_run_comes_first_and_half_made_ones_are_not_seen(home: Home) -> None:
    first, second = make_run(home, "2026-01-01_b"), make_run(home, "2026-01-01_a")
    make_run(home, ".2026-01-01_half")
    os.utime(first.folder / "recipe.yaml")
    assert {run.name for run in runs.list_runs(home)} == {first.name, second.name}
    assert runs.open_run(home, second.name).recipe.name == "2026-01-01_a"


@pytest.mark.parametrize("name", ["../models", "/etc", "nothing"])
def test_open_run_stays_in_the_home_folder(home: Home, name: str) -> None:
    with pytest.raises(UserError):
        runs.open_run(home, name)


def test_one_trains_at_a_time(home: Home) -> None:
    """Our own process stands in for the worker of a run that is under way."""
    busy, other = make_run(home, "busy"), make_run(home, "other")
    write_json(busy.folder / "state.json", {"status": "running", "pid": os.getpid()})
    with pytest.raises(UserError, match="“busy” is training already"):
        runs.start_training(home, other)
    assert runs.active_run(home) == busy
    assert other.state().status == "none"


def test_complete_checkpoints_in_the_order_of_their_steps(home: Home) -> None:
    run = make_run(home, "run")
    for name in ("step-000100", "step-000020", ".partial", "step-x", "step-000003.tmp"):
        (run.checkpoints / name).mkdir(parents=True)
    assert runs.finished_checkpoints(run) == [20, 100]


def rows(path: Path, count: int) -> Path:
    lines = [{"prompt": f"What is {i}?", "completion": f"It is number {i}."} for i in range(count)]
    path.write_text("\n".join(json.dumps(line) for line in lines), "utf-8")
    return path


def test_bad_data_that_was_checked_leaves_no_run_behind(home: Home, tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "a", "compl')
    recipe = Recipe(model=str(tiny_model), data=str(tmp_path / "bad.jsonl"))
    scan_data(home, recipe)
    with pytest.raises(UserError, match="bad.jsonl, line 2"):
        runs.create_run(home, recipe)
    assert runs.list_runs(home) == []
    assert list(home.runs.iterdir()) == []


def test_what_a_killed_process_left_is_swept(home: Home, tmp_path: Path, tiny_model: Path) -> None:
    left = home.runs / ".2026-01-01_half.pid999999999.aside"
    left.mkdir()
    run = runs.create_run(home, Recipe(model=str(tiny_model), data=str(rows(tmp_path / "a.jsonl", 20))))
    assert list(home.runs.iterdir()) == [run.folder]


def test_a_run_takes_several_files_columns_fixes_and_an_own_heldout_file(
    home: Home, tmp_path: Path, tiny_model: Path
) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    write_rows(folder / "one.jsonl", [{"Q": row["question"], "A": row["answer"]} for row in pairs(20)])
    write_rows(folder / "two.jsonl", [{"Q": "Wo?", "A": "Ask ann@example.com, she knows it."}, "{broken"])
    held = write_rows(
        tmp_path / "held.jsonl", [{"Q": row["question"], "A": row["answer"]} for row in pairs(3)]
    )
    recipe = Recipe(
        model=str(tiny_model),
        data=[str(folder / "two.jsonl"), str(folder)],
        columns={"Q": "user", "A": "assistant"},
        heldout=str(held),
    )
    scan_data(home, recipe)
    with pytest.raises(UserError, match="two.jsonl, line 2"):
        runs.create_run(home, recipe)
    run = runs.create_run(home, recipe.with_changes(fixes=["unreadable row", "e-mail addresses"]))
    prepare_data(home, run.recipe, run.data)
    train, heldout = read_snapshot(run.data)
    assert (len(train), len(heldout)) == (18, 3)
    assert "@" not in (run.data / "train.jsonl").read_text("utf-8")
    with pytest.raises(UserError, match="no fix called"):
        runs.create_run(home, recipe.with_changes(fixes=["magic"]))


def test_a_new_run_holds_its_recipe(home: Home, tmp_path: Path, tiny_model: Path) -> None:
    data = rows(tmp_path / "My Größe data.jsonl", 60)
    run = runs.create_run(home, Recipe(model=str(tiny_model), data=str(data)))
    assert "my-grösse-data" in run.name
    assert run.recipe.data == str(data)
    assert run.state().status == "none"
    assert [path.name for path in run.folder.iterdir()] == ["recipe.yaml"]


def test_home_from_the_environment_and_a_home_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_GARAGE_HOME", str(tmp_path / "here"))
    assert open_home().runs == tmp_path / "here" / "runs"
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--home"):
        open_home(tmp_path / "file" / "below")


def test_a_resumed_run_keeps_its_peak_and_says_a_warning_once() -> None:
    part = [
        {"t": "", "kind": "started", "step": 0, "rows": 24, "heldout_rows": 16},
        {"t": "", "kind": "warning", "message": "Two rows were cut."},
        {"t": "", "kind": "log", "step": 1, "loss": 2.0, "peak_memory": 9},
    ]
    progress = fold([*part, *part[:2], {"t": "", "kind": "log", "step": 2, "loss": 1.0, "peak_memory": 5}])
    assert (progress.peak_memory, progress.warnings) == (9, ["Two rows were cut."])
    assert (progress.rows, progress.heldout_rows) == (24, 16)


@pytest.mark.parametrize(
    ("name", "folder", "exported"),
    [
        ("Übung macht's", "übung-macht-s", "ubung-macht-s-smollm2-135m-instruct"),
        ("Straße_2", "strasse-2", "strasse-2-smollm2-135m-instruct"),
        ("数据 A", "数据-a", "a-smollm2-135m-instruct"),
        ("...", "", "smollm2-135m-instruct"),
    ],
)
def test_a_run_keeps_the_letters_of_its_name(home: Home, name: str, folder: str, exported: str) -> None:
    run = runs.create_run(home, Recipe(name=name))
    assert "_".join(run.name.split("_")[1:-2]) == folder
    assert run.export_name == exported
