"""Supervision, tested by replayed histories and by real little processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.base import jobs
from core.base.errors import UserError
from core.base.files import write_json
from core.base.jobs import error_sentence
from core.base.process import birth
from tests.waiting import wait_until

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
    ({"status": "died", "pid": 7, "exit_code": 4}, False, "died", "exit code 4"),
    ({"status": "done", "pid": 7, "message": "Saved."}, False, "done", "Saved."),
    ({"status": "failed", "pid": 7, "message": "Loss is NaN."}, False, "failed", "Loss is NaN."),
    ({"status": "stopped", "pid": 7}, True, "stopped", ""),
]


@pytest.mark.parametrize(("state", "alive", "status", "message"), HISTORIES)
def test_judge_replays(state: dict, alive: bool, status: str, message: str) -> None:
    judged = jobs.judge(state, lambda pid, born: alive)
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
    wait_until(lambda: jobs.read_job(tmp_path).stage == "waiting")
    jobs.request_stop(tmp_path, "save")
    assert jobs.wait_job(tmp_path, timeout_s=30).status == "stopped"
    start(tmp_path, "work")
    assert jobs.wait_job(tmp_path, timeout_s=30).status == "done"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_kill_9_is_seen_and_told(tmp_path: Path) -> None:
    start(tmp_path, "until-stopped")
    wait_until(lambda: jobs.read_job(tmp_path).stage == "waiting")
    pid = jobs.read_job(tmp_path).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: jobs.read_state_file(tmp_path).get("exit_code") is not None)
    state = jobs.read_job(tmp_path)
    assert state.status == "died"
    assert "memory" in state.message


def test_a_reused_process_id_is_not_taken_for_the_worker(tmp_path: Path) -> None:
    born = birth(os.getpid())
    assert born is not None
    write_json(tmp_path / "state.json", {"status": "running", "pid": os.getpid(), "born": born})
    assert jobs.read_job(tmp_path).status == "running"
    write_json(tmp_path / "state.json", {"status": "running", "pid": os.getpid(), "born": born - 3600})
    assert jobs.read_job(tmp_path).status == "died"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a birth time is noted once and stays")
def test_setting_the_clock_is_no_death_and_no_second_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What psutil calls the time of the system's start moves with the clock, and each birth time with it."""
    start(tmp_path, "until-stopped")
    wait_until(lambda: jobs.read_job(tmp_path).stage == "waiting")
    told = psutil.Process().create_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: 1.0)
    assert abs(psutil.Process().create_time() - told) > 3600
    running = jobs.read_job(tmp_path)
    start(tmp_path, "until-stopped")
    assert running.status == "running" and jobs.read_job(tmp_path).pid == running.pid
    jobs.request_stop(tmp_path)
    assert jobs.wait_job(tmp_path, timeout_s=30).status == "stopped"


def test_the_death_of_a_worker_is_not_written_over_the_next_start(tmp_path: Path) -> None:
    """Process id and birth time together say which start it is about."""
    now = {"status": "running", "pid": 7, "born": 20.0}
    write_json(tmp_path / "state.json", now)
    for pid, born in ((7, 10.0), (6, 20.0)):
        jobs.note_death(tmp_path, pid, born, -9)
        assert jobs.read_state_file(tmp_path) == now
    jobs.note_death(tmp_path, 7, 20.0, -9)
    assert jobs.read_state_file(tmp_path) == {**now, "status": "died", "exit_code": -9}


def test_a_restart_waits_for_the_note_on_the_death_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The restart comes when the reaper has read the old state and not yet written: the worst moment."""
    write_json(tmp_path / "state.json", {"status": "running", "pid": 2**22 + 1, "born": 1.0})
    silent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(jobs, "_spawn", lambda *_: silent)
    restart = threading.Thread(target=start, args=(tmp_path, "work"))
    read = jobs.read_state_file

    def slow_read(folder: Path) -> dict[str, Any]:
        state = read(folder)
        if restart.ident is None:
            restart.start()
            restart.join(0.3)
        return state

    monkeypatch.setattr(jobs, "read_state_file", slow_read)
    jobs.note_death(tmp_path, 2**22 + 1, 1.0, -9)
    restart.join()
    state = read(tmp_path)
    silent.kill()
    assert (state["status"], state["pid"]) == ("starting", silent.pid)


def test_a_worker_that_is_quicker_than_its_starter_has_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = jobs.write_json

    def slow_write(path: Path, value: Any) -> None:
        time.sleep(0.5)
        write(path, value)

    monkeypatch.setattr(jobs, "write_json", slow_write)
    start(tmp_path, "work")
    assert jobs.wait_job(tmp_path, timeout_s=30).status == "done"


def test_a_job_that_has_no_place_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="The start could not be written to .*file"):
        start(tmp_path / "file" / "job", "work")


def test_a_worker_whose_start_cannot_be_noted_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(jobs, "_spawn", lambda *_: silent)
    (tmp_path / "state.json").mkdir()
    with pytest.raises(UserError, match="The start could not be written"):
        start(tmp_path, "work")
    assert silent.wait(10) != 0


@pytest.mark.parametrize(
    "text",
    [
        '{"status": "runn',
        "[]",
        '{"status": 3, "pid": "x", "born": [], "progress": "half"}',
        '{"status": "running", "pid": true, "born": "yesterday", "exit_code": {}}',
        '{"status": "running", "pid": -1}',
    ],
)
def test_a_damaged_state_file_is_no_crash(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    state = jobs.read_job(tmp_path)
    assert state.status in ("none", "died") and state.pid is None and state.progress is None


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
    assert words in error_sentence(error)


def test_where_nothing_more_can_be_written_the_last_word_is(little_disk: Path) -> None:
    job = little_disk / "job"
    job.mkdir()
    with pytest.raises(SystemExit), jobs.Worker(job) as worker:
        worker.update(stage="merge")
        room = os.statvfs(little_disk)
        (little_disk / "ballast").write_bytes(bytes(room.f_bavail * room.f_frsize))
        (little_disk / "more").write_bytes(b"x" * 100_000)
    state = jobs.read_job(job)
    assert state.status == "failed" and "the disk is full. Free some space" in state.message


def test_a_job_that_was_asked_to_stop_says_so_until_it_has(tmp_path: Path) -> None:
    write_json(tmp_path / "state.json", {"status": "running", "pid": os.getpid(), "born": birth(os.getpid())})
    assert jobs.read_job(tmp_path).stopping is None
    jobs.request_stop(tmp_path, "save")
    assert jobs.read_job(tmp_path).stopping == "save"
    write_json(tmp_path / "state.json", {"status": "stopped"})
    assert jobs.read_job(tmp_path).stopping is None
