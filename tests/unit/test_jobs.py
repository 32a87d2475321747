"""Supervision, tested by replayed histories and by real little processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from core import jobs
from core.errors import UserError
from core.files import write_json

WORKER = "tests.unit.job_worker"

HISTORIES = [
    # (what the worker wrote last, does the process live, what the page must say)
    ({}, False, "none", ""),
    ({"status": "starting", "pid": 7}, True, "starting", ""),
    ({"status": "running", "pid": 7, "stage": "training"}, True, "running", ""),
    ({"status": "running", "pid": 7}, False, "died", "gone without a word"),
    ({"status": "died", "pid": 7, "exit_code": -9}, False, "died", "memory ran out"),
    ({"status": "died", "pid": 7, "exit_code": 137}, False, "died", "memory ran out"),
    ({"status": "died", "pid": 7, "exit_code": -11}, False, "died", "native library"),
    ({"status": "died", "pid": 7, "exit_code": 3}, False, "died", "exit code 3"),
    ({"status": "done", "pid": 7, "message": "Saved."}, False, "done", "Saved."),
    ({"status": "failed", "pid": 7, "message": "Loss is NaN."}, False, "failed", "Loss is NaN."),
    ({"status": "stopped", "pid": 7}, True, "stopped", ""),
]


@pytest.mark.parametrize(("state", "alive", "status", "message"), HISTORIES)
def test_judge_replays(state: dict, alive: bool, status: str, message: str) -> None:
    judged = jobs.judge(state, alive)
    assert judged.status == status
    assert message in judged.message


def start(folder: Path, what: str) -> None:
    jobs.start_job(folder, WORKER, [what])


def test_done_keeps_its_fields_and_events(tmp_path: Path) -> None:
    start(tmp_path, "work")
    state = jobs.wait_job(tmp_path, timeout_s=30)
    assert (state.status, state.stage, state.progress) == ("done", "working", 1.0)
    assert state.fields["made"] == "something"
    assert [event["kind"] for event in jobs.EventLog(tmp_path / "events.jsonl").all()] == ["stage", "done"]
    assert "hello from the worker" in jobs.log_tail(tmp_path)


def test_a_users_error_and_a_crash_end_differently(tmp_path: Path) -> None:
    start(tmp_path / "user", "user-error")
    start(tmp_path / "ours", "crash")
    user = jobs.wait_job(tmp_path / "user", timeout_s=30)
    ours = jobs.wait_job(tmp_path / "ours", timeout_s=30)
    assert (user.status, user.message) == ("failed", "Row 3 has no answer. Add one.")
    assert ours.status == "failed"
    assert "ZeroDivisionError" in ours.message
    assert "Traceback" in jobs.log_tail(tmp_path / "ours")


def test_stop_is_heard_and_forgotten_at_the_next_start(tmp_path: Path) -> None:
    start(tmp_path, "until-stopped")
    wait_for(lambda: jobs.read_job(tmp_path).stage == "waiting")
    jobs.request_stop(tmp_path, "save")
    assert jobs.wait_job(tmp_path, timeout_s=30).status == "stopped"
    start(tmp_path, "work")
    assert jobs.wait_job(tmp_path, timeout_s=30).status == "done"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_kill_9_is_seen_and_told(tmp_path: Path) -> None:
    start(tmp_path, "until-stopped")
    wait_for(lambda: jobs.read_job(tmp_path).stage == "waiting")
    pid = jobs.read_job(tmp_path).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: jobs.read_state_file(tmp_path).get("exit_code") is not None)
    state = jobs.read_job(tmp_path)
    assert state.status == "died"
    assert "memory" in state.message


def test_a_reused_process_id_is_not_taken_for_the_worker(tmp_path: Path) -> None:
    born = psutil.Process().create_time()
    write_json(tmp_path / "state.json", {"status": "running", "pid": os.getpid(), "born": born})
    assert jobs.read_job(tmp_path).status == "running"
    write_json(tmp_path / "state.json", {"status": "running", "pid": os.getpid(), "born": born - 3600})
    assert jobs.read_job(tmp_path).status == "died"


def test_a_damaged_state_file_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"status": "runn')
    assert jobs.read_job(tmp_path).status == "none"


def test_log_tail_shows_a_progress_bar_once(tmp_path: Path) -> None:
    (tmp_path / "worker.log").write_bytes(b"one\r 10%\r 20%\r\x1b[32m100%\x1b[0m\nlast\n")
    assert jobs.log_tail(tmp_path) == "100%\nlast"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UserError("Say this."), "Say this."),
        (OSError(28, "No space left on device"), "disk is full"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "Memory ran out"),
        (MemoryError(), "Memory ran out"),
        (KeyError("x"), "KeyError"),
    ],
)
def test_every_error_becomes_a_sentence(error: BaseException, words: str) -> None:
    assert words in jobs.describe(error)


def wait_for(condition, timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
