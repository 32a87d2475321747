"""Checkpoints: whole or absent, newest by step and not by clock, damaged ones found whatever the damage."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core.train.checkpoints import MANIFEST, NEEDED, CheckpointStore, verify


def store(tmp_path: Path, keep: int = 3) -> CheckpointStore:
    (tmp_path / "checkpoints").mkdir()
    return CheckpointStore(tmp_path / "checkpoints", keep)


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


def truncated(folder: Path) -> None:
    data = (folder / "optimizer.pt").read_bytes()
    (folder / "optimizer.pt").write_bytes(data[: len(data) // 2])


def bit_flipped(folder: Path) -> None:
    data = bytearray((folder / "adapter_model.safetensors").read_bytes())
    data[17] ^= 4
    (folder / "adapter_model.safetensors").write_bytes(bytes(data))


def emptied(folder: Path) -> None:
    (folder / "trainer_state.json").write_bytes(b"")


def file_missing(folder: Path) -> None:
    (folder / "rng_state.pth").unlink()


def manifest_missing(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def manifest_cut(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"step": 20, "files": {', "utf-8")


def manifest_is_a_list(folder: Path) -> None:
    (folder / MANIFEST).write_text("[]", "utf-8")


def manifest_short(folder: Path) -> None:
    """Half the files written, and a manifest that knows no better."""
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    del manifest["files"]["optimizer.pt"]
    (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    (folder / "optimizer.pt").unlink()


def copied_from_another_step(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    (folder / MANIFEST).write_text(json.dumps({**manifest, "step": 10}), "utf-8")


def file_is_a_folder(folder: Path) -> None:
    (folder / "scheduler.pt").unlink()
    (folder / "scheduler.pt").mkdir()


DAMAGES = [
    truncated,
    bit_flipped,
    emptied,
    file_missing,
    manifest_missing,
    manifest_cut,
    manifest_is_a_list,
    manifest_short,
    copied_from_another_step,
    file_is_a_folder,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
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
