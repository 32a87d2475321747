"""Training that is killed or stopped: what is left, and how it goes on from there."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.base.home import Home
from core.base.jobs import ACTIVE, read_job, request_stop
from core.runs.progress import read_progress
from core.runs.run import Run, adapter_sha256, finished_checkpoints, start_training
from core.train.checkpoints import verify
from tests.training_runs import begin, events, make_run, summary, wait_over, work
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(params=["forked"])
def long_run(home: Home, tiny_model: Path, request: pytest.FixtureRequest) -> Iterator[Run]:
    """A run that would go on for hours, started, with two checkpoints written."""
    run = make_run(home, tiny_model, max_steps=100_000, save_every=3, keep_checkpoints=2)
    try:
        if request.param == "started":
            start_training(home, run)
        else:
            begin(run)
        # a busy machine may need minutes to import torch
        wait_until(lambda: len(events(run, "checkpoint")) > 1 or has_ended(run), 300)
        assert read_job(run.folder).status == "running", run.log_tail()
        yield run
    finally:
        state = read_job(run.folder)
        if state.active and state.pid:
            psutil.Process(state.pid).kill()


def has_ended(run: Run) -> bool:
    return read_job(run.folder).status not in (*ACTIVE, "none")


def finish_soon(run: Run, steps: int = 2) -> int:
    """Let the run end some steps after its newest checkpoint; returns the last step."""
    last = finished_checkpoints(run)[-1] + steps
    run.recipe.with_changes(max_steps=last).save(run.folder / "recipe.yaml")
    return last


def test_a_resume_keeps_to_its_recipe(long_run: Run) -> None:
    """Another alpha is refused in a sentence, more steps are taken with a word."""
    request_stop(long_run.folder)
    assert wait_over(long_run).status == "stopped"
    (long_run.folder / "stop.request").unlink()
    asked, last = long_run.recipe, finish_soon(long_run)
    long_run.recipe.with_changes(alpha=32, rank=8).save(long_run.folder / "recipe.yaml")
    assert work(long_run, "--resume") != 0
    state = read_job(long_run.folder)
    assert "rank was 16 and is 8 now; alpha was 16 and is 32 now. Put it back" in state.message
    asked.with_changes(max_steps=last).save(long_run.folder / "recipe.yaml")
    assert work(long_run, "--resume") == 0, long_run.log_tail()
    warnings = read_progress(long_run).warnings
    assert any(f"max_steps was 100000 and is {last} now" in warning for warning in warnings)
    note = long_run.adapter_note
    assert note is not None and (note.step, note.sha256) == (last, adapter_sha256(long_run.adapter))


# this one is started as the app starts it
@pytest.mark.parametrize("long_run", ["started"], indirect=True)
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
