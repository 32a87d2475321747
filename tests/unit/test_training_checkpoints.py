"""Checkpoints: whole or absent, newest by step and not by clock, damaged ones found whatever the damage."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import UserError
from core.recipe import Recipe
from core.train.checkpoints import MANIFEST, NEEDED, CheckpointStore, Origin, verify

RECIPE = Recipe(run="a1", hashes={"data/train.jsonl": "12", "model/config.json": "34"})


def store(tmp_path: Path, keep: int = 3, recipe: Recipe = RECIPE) -> CheckpointStore:
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    return CheckpointStore(tmp_path / "checkpoints", keep, Origin.of(recipe))


def fill(folder: Path, step: int) -> None:
    """What the Trainer writes, in miniature."""
    folder.mkdir(parents=True)
    for name in (*NEEDED, "training_args.bin", "README.md"):
        (folder / name).write_bytes(f"{name} of step {step}".encode() * 100)


def write(checkpoints: CheckpointStore, step: int) -> None:
    checkpoints.write(step, lambda: fill(checkpoints.partial / f"checkpoint-{step}", step))


def test_a_written_checkpoint_is_whole(tmp_path: Path) -> None:
    checkpoints = store(tmp_path)
    saved: list[int] = []
    checkpoints.on_saved = saved.append
    write(checkpoints, 100)
    folder = checkpoints.folder / "step-000100"
    assert saved == [100]
    assert verify(folder, 100) is None
    assert sorted(path.name for path in folder.iterdir()) == sorted([*NEEDED, MANIFEST])
    assert [path.name for path in checkpoints.folder.iterdir()] == ["step-000100"]


def edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """A damage: the file's content changed."""
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes())) and None


def edit_manifest(change: Callable[[Any], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        change(manifest)
        (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")

    return damage


def folder_for_file(folder: Path) -> None:
    (folder / "scheduler.pt").unlink()
    (folder / "scheduler.pt").mkdir()


truncated = edit("optimizer.pt", lambda data: data[: len(data) // 2])
DAMAGES = {
    "truncated": truncated,
    "a bit flipped": edit("adapter_model.safetensors", lambda data: data[:17] + b"~" + data[18:]),
    "emptied": edit("trainer_state.json", lambda data: b""),
    "a file missing": lambda folder: (folder / "rng_state.pth").unlink(),
    "a folder for a file": folder_for_file,
    "no manifest": lambda folder: (folder / MANIFEST).unlink(),
    "half a manifest": edit(MANIFEST, lambda data: b'{"step": 20, "files": {'),
    "a list as manifest": edit(MANIFEST, lambda data: b"[]"),
    "a manifest that knows no better": edit_manifest(lambda manifest: manifest["files"].pop("optimizer.pt")),
    "another step's manifest": edit_manifest(lambda manifest: manifest.update(step=10)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_skipped_and_said(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    checkpoints = store(tmp_path)
    write(checkpoints, 10)
    write(checkpoints, 20)
    damage(checkpoints.path(20))
    step, problems = checkpoints.newest_complete()
    assert step == 10
    assert len(problems) == 1
    assert "step 20" in problems[0]
    assert checkpoints.steps() == [10], "the damaged one is out of the way"
    write(checkpoints, 20)
    assert checkpoints.newest_complete() == (20, [])
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["step-000010", "step-000020"]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"run": "b2"}, "belongs to another run"), ({"hashes": {"data/train.jsonl": "99"}}, "other data")],
)
def test_a_checkpoint_of_another_run_is_left_alone(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    """However whole it is; and nothing deletes it."""
    write(store(tmp_path), 10)
    write(store(tmp_path, recipe=RECIPE.with_changes(**change)), 20)
    checkpoints = store(tmp_path)
    step, problems = checkpoints.newest_complete()
    assert step == 10 and len(problems) == 1 and words in problems[0]
    write(checkpoints, 30)
    assert verify(checkpoints.folder / ".other-run-000020", 20) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"alpha": 32}, "alpha was 16 and is 32 now"),
        ({"seed": 7}, "seed was 42 and is 7 now"),
        ({"accumulate": 4}, "accumulate was 8 and is 4 now"),
        ({"chat_template": "chatml"}, "chat_template was auto and is chatml now"),
        ({"target_modules": ["q_proj"]}, r"target_modules was all-linear and is \['q_proj'\] now"),
    ],
)
def test_a_changed_recipe_is_not_gone_on_with(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    write(store(tmp_path), 10)
    assert store(tmp_path).changes(10) == []
    with pytest.raises(UserError, match=f"step 10: {words}. Put it back"):
        store(tmp_path, recipe=RECIPE.with_changes(**change)).changes(10)


def test_what_a_resume_may_change_is_named(tmp_path: Path) -> None:
    write(store(tmp_path), 10)
    longer = store(tmp_path, recipe=RECIPE.with_changes(max_steps=18, save_every=5))
    assert longer.changes(10) == ["max_steps was None and is 18 now", "save_every was 20 and is 5 now"]


def test_a_checkpoint_of_an_earlier_version_says_nothing_of_its_origin(tmp_path: Path) -> None:
    write(store(tmp_path), 10)
    edit_manifest(lambda manifest: manifest.pop("origin"))(store(tmp_path).path(10))
    other = store(tmp_path, recipe=RECIPE.with_changes(alpha=32))
    assert other.newest_complete() == (10, []) and other.changes(10) == []


def test_nothing_intact(tmp_path: Path) -> None:
    checkpoints = store(tmp_path)
    assert checkpoints.newest_complete() == (None, [])
    write(checkpoints, 10)
    truncated(checkpoints.path(10))
    step, problems = checkpoints.newest_complete()
    assert step is None
    assert len(problems) == 1


def test_a_killed_write_leaves_nothing_that_counts(tmp_path: Path) -> None:
    checkpoints = store(tmp_path)
    write(checkpoints, 10)
    fill(checkpoints.partial / "checkpoint-20", 20)  # and then the power went
    assert checkpoints.newest_complete() == (10, [])
    write(checkpoints, 30)
    assert checkpoints.steps() == [10, 30]
    assert not checkpoints.partial.exists()


def test_rotation_goes_by_step_even_when_the_clock_jumps(tmp_path: Path) -> None:
    checkpoints = store(tmp_path, keep=2)
    for step in (10, 20, 30):
        write(checkpoints, step)
        # each one looks a year older than the one before
        os.utime(checkpoints.path(step), (1e9 - step * 3e6, 1e9 - step * 3e6))
    assert checkpoints.steps() == [20, 30]
    write(checkpoints, 1_000_000)
    assert checkpoints.steps() == [30, 1_000_000]
    assert checkpoints.newest_complete()[0] == 1_000_000


def test_the_same_step_again_replaces_the_old_one(tmp_path: Path) -> None:
    checkpoints = store(tmp_path)
    write(checkpoints, 10)
    write(checkpoints, 10)
    assert checkpoints.newest_complete() == (10, [])


def test_a_full_disk_keeps_the_last_good_one(tmp_path: Path) -> None:
    checkpoints = store(tmp_path)
    failures: list[tuple[int, str]] = []
    checkpoints.on_failed = lambda step, problem: failures.append((step, problem))
    write(checkpoints, 10)

    def full() -> None:
        fill(checkpoints.partial / "checkpoint-20", 20)
        raise OSError(28, "No space left on device")

    checkpoints.write(20, full)
    assert failures == [(20, "the disk is full")]
    assert checkpoints.problem == "the disk is full"
    assert checkpoints.newest_complete() == (10, [])
    assert not checkpoints.partial.exists()
    write(checkpoints, 30)
    assert not checkpoints.problem


def test_an_error_that_is_not_the_disks_passes_through(tmp_path: Path) -> None:
    checkpoints = store(tmp_path)

    def broken() -> None:
        raise KeyError("a mistake in the program")

    with pytest.raises(KeyError):
        checkpoints.write(20, broken)
