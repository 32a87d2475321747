"""Training that goes wrong: killed, stopped, not-a-number, a full disk, damaged files. Always a sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file, save_file

from core.files import read_json, write_json
from core.home import Home
from core.jobs import read_job, request_stop
from core.runs import Run, finished_checkpoints, read_progress, start_training
from core.training.checkpoints import verify
from tests.tiny_model import make_tiny_model
from tests.training_runs import chats, events, losses, make_run, summary, wait_over, wait_until, work

pytestmark = pytest.mark.slow


@pytest.fixture
def long_run(home: Home, tiny_model: Path) -> Iterator[Run]:
    """A run that would go on for hours, started, with two checkpoints written."""
    run = make_run(home, tiny_model, max_steps=100_000, save_every=3, keep_checkpoints=2)
    start_training(home, run)
    wait_until(lambda: len(events(run, "checkpoint")) > 1 or not read_job(run.folder).active)
    assert read_job(run.folder).status == "running", run.log_tail()
    yield run
    state = read_job(run.folder)
    if state.active and state.pid:
        psutil.Process(state.pid).kill()


def finish_soon(run: Run, steps: int = 2) -> int:
    """Let the run end some steps after its newest checkpoint; returns the last step."""
    last = finished_checkpoints(run)[-1] + steps
    run.recipe.with_changes(max_steps=last).save(run.folder / "recipe.yaml")
    return last


def test_killed_then_resumed(long_run: Run) -> None:
    pid = read_job(long_run.folder).pid
    assert pid is not None
    psutil.Process(pid).kill()
    state = wait_over(long_run)
    assert state.status == "died"
    assert state.message
    newest = finished_checkpoints(long_run)[-1]
    last = finish_soon(long_run)
    # and the power cut also left a half-written one, and damaged the newest
    (long_run.checkpoints / ".partial" / f"checkpoint-{newest + 3}").mkdir(parents=True, exist_ok=True)
    damaged = long_run.checkpoints / f"step-{newest:06d}" / "optimizer.pt"
    damaged.write_bytes(damaged.read_bytes()[:-10])
    assert work(long_run, "--resume") == 0, long_run.log_tail()
    started = events(long_run, "started")[-1]
    assert 0 < started["step"] < newest, "the damaged checkpoint was not used"
    assert any(f"step {newest} is damaged" in warning for warning in read_progress(long_run).warnings)
    assert summary(long_run)["steps"] == last
    assert summary(long_run)["heldout_loss_base"] == events(long_run, "eval")[0]["loss"]
    assert long_run.trained
    assert sorted(path.name for path in long_run.checkpoints.iterdir()) == [
        f"step-{step:06d}" for step in finished_checkpoints(long_run)
    ]


def test_stop_leaves_a_checkpoint_to_resume_from(long_run: Run) -> None:
    request_stop(long_run.folder, "stop")
    state = wait_over(long_run)
    assert state.status == "stopped"
    step = finished_checkpoints(long_run)[-1]
    assert f"step {step}" in state.message
    assert verify(long_run.checkpoints / f"step-{step:06d}", step) is None
    assert not long_run.trained
    (long_run.folder / "stop.request").unlink()
    last = finish_soon(long_run)
    assert work(long_run, "--resume") == 0, long_run.log_tail()
    assert events(long_run, "started")[-1]["step"] == step
    assert summary(long_run)["steps"] == last


def test_stop_and_save_leaves_an_adapter_too(long_run: Run) -> None:
    request_stop(long_run.folder, "save")
    state = wait_over(long_run)
    assert state.status == "stopped"
    assert state.fields["adapter_saved"] is True
    assert long_run.trained
    assert summary(long_run)["steps"] == finished_checkpoints(long_run)[-1]
    assert events(long_run, "eval")[-1]["step"] == summary(long_run)["steps"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking it")
def test_a_terminate_signal_is_a_stop(long_run: Run) -> None:
    pid = read_job(long_run.folder).pid
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    assert wait_over(long_run).status == "stopped"
    assert finished_checkpoints(long_run)


def poison(folder: Path, word: str) -> None:
    """Make the model's loss not-a-number for rows that hold `word`, and only for them."""
    from tokenizers import Tokenizer

    tensors = {name: tensor.copy() for name, tensor in load_file(folder / "model.safetensors").items()}
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()
    number = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(word, add_special_tokens=False).ids[0]
    tensors["model.embed_tokens.weight"][number] = np.nan
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", {**read_json(folder / "config.json"), "tie_word_embeddings": False})


def test_not_a_number_ends_the_run_at_that_step(home: Home, tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model")
    poison(model, " kraken")
    rows = chats(16)
    rows[5]["messages"][0]["content"] = "Did you see the kraken?"
    run = make_run(home, model, rows, max_steps=20, save_every=1, heldout_share=0)
    assert work(run) == 2
    state = read_job(run.folder)
    assert state.status == "failed"
    bad = [step for step, loss in losses(run).items() if not isinstance(loss, float)]
    assert len(bad) == 1
    assert bad == [max(losses(run))], "it stopped at once"
    assert f"step {bad[0]}" in state.message
    assert bad[0] > 1, "choose another seed: this one shows nothing"
    assert finished_checkpoints(run)[-1] == bad[0] - 1
    assert not run.trained


@pytest.fixture
def little_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 640 kB: room for one checkpoint of the tiny model, not for two."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs root on Linux to mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine does not let tests mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_costs_a_checkpoint_not_the_run(home: Home, tiny_model: Path, little_disk: Path) -> None:
    run = make_run(home, tiny_model, max_steps=6, save_every=2, keep_checkpoints=2)
    run.checkpoints.symlink_to(little_disk, target_is_directory=True)
    assert work(run) == 0, run.log_tail()
    assert [event["step"] for event in events(run, "checkpoint")] == [2]
    assert any("disk is full" in warning for warning in read_progress(run).warnings)
    assert finished_checkpoints(run) == [2]
    assert verify(run.checkpoints / "step-000002", 2) is None
    assert run.trained


def test_an_adapter_that_finds_no_room_is_a_sentence(home: Home, tiny_model: Path, little_disk: Path) -> None:
    run = make_run(home, tiny_model, max_steps=2)
    folder = little_disk / run.name
    run.folder.rename(home.runs / "aside")
    (home.runs / "aside" / "checkpoints").mkdir()
    # everything of the run but its checkpoints lies on the little disk, which is nearly full
    subprocess.run(["cp", "-r", str(home.runs / "aside"), str(folder)], check=True)
    (folder / "checkpoints").rmdir()
    (folder / "checkpoints").symlink_to(home.runs / "aside" / "checkpoints")
    room = os.statvfs(little_disk)
    (little_disk / "ballast").write_bytes(b"0" * (room.f_bavail * room.f_frsize - 40_000))
    small = Run(folder)
    assert work(small, "--home", str(home.root)) == 2
    state = read_job(folder)
    assert state.status == "failed"
    assert "disk is full" in state.message
    assert not small.trained
    assert finished_checkpoints(small) == [2]
    (little_disk / "ballast").unlink()
    assert work(small, "--home", str(home.root), "--resume") == 0, small.log_tail()
    assert small.trained


def test_a_model_that_lacks_weights_is_refused(home: Home, tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model")
    tensors = {
        name: tensor.copy()
        for name, tensor in load_file(model / "model.safetensors").items()
        if name != "model.layers.1.mlp.up_proj.weight"
    }
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    run = make_run(home, model)
    assert work(run) == 2
    assert "lacks 1 weights" in read_job(run.folder).message
    assert "model.layers.1.mlp.up_proj.weight" in read_job(run.folder).message
