"""Training that goes wrong: not-a-number, a full disk, a damaged model. Always a sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from core.base.files import read_json, write_json
from core.base.home import Home
from core.base.jobs import read_job
from core.runs.progress import read_progress
from core.runs.run import Run, finished_checkpoints
from core.train.checkpoints import verify
from tests.tiny_model import make_tiny_model
from tests.training_runs import chats, events, losses, make_run, work

pytestmark = pytest.mark.slow


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
def little_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A small file system. With 640 kB it has room for one checkpoint of the tiny model, not for two."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs root on Linux to mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    size = getattr(request, "param", "640k")
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
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


# an adapter has its tokenizer's files, of 4 MB, beside it
@pytest.mark.parametrize("little_disk", ["8m"], indirect=True)
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


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("checkpoints", "a file stands where a folder belongs"),
        ("data", "a file stands where a folder belongs"),
        ("adapter", "a file stands where a folder belongs"),
        ("checkpoints/step-000002/adapter_model.safetensors", ""),
    ],
)
def test_a_resume_among_odd_things_is_a_sentence_or_goes_on(
    home: Home, tiny_model: Path, name: str, words: str
) -> None:
    run = make_run(home, tiny_model, max_steps=3, save_every=2)
    assert work(run) == 0, run.log_tail()
    for folder in (run.checkpoints / "step-000003", run.adapter):
        shutil.rmtree(folder)
    odd = run.folder / name
    if odd.is_dir():
        shutil.rmtree(odd)
    odd.unlink(missing_ok=True)
    odd.write_bytes(b"\x80\xff")
    code, state = work(run, "--resume"), read_job(run.folder)
    assert "unexpected" not in state.message, state.message
    assert (words in state.message) and (bool(words) == (code != 0)), state.message
