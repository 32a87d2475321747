"""A job is a folder and a detached process: start it, read how it goes, stop it, find it again.

The folder holds `state.json` (replaced atomically), `events.jsonl`, `worker.log` and, when somebody asks
for it, `stop.request`. Nothing is kept in memory, so a page, a second tab or a restarted app see the same.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, PositiveInt

from core.base.errors import (
    Stopped,
    UserError,
    disk_sentence,
    disk_trouble,
    file_sentence,
    first_line,
    is_out_of_memory,
)
from core.base.events import EventLog, now
from core.base.files import read_json, sweep, write_atomic, write_json
from core.base.process import ABORTED, CRASHED, KILLED, birth, lives, spawn
from core.base.records import decode

StopKind = Literal["stop", "save"]
Status = Literal["none", "starting", "running", "done", "stopped", "failed", "died"]
ACTIVE = ("starting", "running")
HEARTBEAT_S = 2.0
# what a lock is held for takes milliseconds; whoever waits longer waits for a process that hangs
_LOCK_S = 10.0


class _Written(BaseModel, extra="allow"):
    """`state.json` as a worker or its starter writes it; a worker may add fields of its own."""

    status: Status = "none"
    message: str = ""
    pid: PositiveInt | None = None
    born: float | None = None
    stage: str = ""
    progress: float | None = None
    started: str = ""
    heartbeat: str = ""
    exit_code: int | None = None


@dataclass(frozen=True)
class JobState:
    """What `state.json` says, corrected by what the process table says.

    `stopping`: an active job was asked to stop, or to `save`; it goes on to its next safe point.
    """

    status: Status = "none"
    message: str = ""
    pid: int | None = None
    stage: str = ""
    progress: float | None = None
    started: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    stopping: StopKind | None = None

    @property
    def active(self) -> bool:
        return self.status in ACTIVE


def start_job(
    folder: Path, module: str, args: list[str] | None = None, env: dict[str, str] | None = None
) -> None:
    """Run `python -m module folder *args` on its own: it outlives this process and its terminal.

    Its output goes to `worker.log`. A stop request left from an earlier start is removed. A job that runs
    already is left alone. A UserError says why nothing could be started.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _turn(folder):
            if read_job(folder).active:
                return
            (folder / "stop.request").unlink(missing_ok=True)
            sweep(folder)
            process = _spawn(folder, module, [str(folder), *(args or [])], env)
            state = _new_state("starting", process.pid)
            # waited for, so that it never stays a zombie
            reaper = (folder, process, state["born"])
            threading.Thread(target=_reap, args=reaper, name=f"reap-{process.pid}", daemon=True).start()
            try:
                write_json(folder / "state.json", state)
            except OSError:
                # nobody would know of it
                process.kill()
                raise
    except Timeout:
        raise UserError("Another window is starting this at the moment. Look again in a second.") from None
    except OSError as error:
        raise UserError(
            disk_sentence(error, "The start could not be written", folder, "start again")
        ) from error


def _turn(folder: Path) -> FileLock:
    """Who starts a job, begins as its worker or notes its death does so alone: none writes over another."""
    return FileLock(folder / ".state.lock", timeout=_LOCK_S)


def _spawn(folder: Path, module: str, args: list[str], env: dict[str, str] | None) -> subprocess.Popen[bytes]:
    with open(folder / "worker.log", "ab") as log:
        log.write(f"\n--- {now()} {module}\n".encode())
        log.flush()
        return spawn(module, args, log, env, detached=True)


def _reap(folder: Path, process: subprocess.Popen[bytes], born: float | None) -> None:
    note_death(folder, process.pid, born, process.wait())


def note_death(folder: Path, pid: int, born: float | None, code: int) -> None:
    """Write the exit code of a dead worker into its state, unless it said itself how it ended.

    The job may have been started again in the same moment: the state of that start stays as it is.
    """
    if not (folder / "state.json").is_file():
        return
    with suppress(OSError), _turn(folder):
        state = read_state_file(folder)
        if (state.get("pid"), state.get("born")) == (pid, born) and state.get("status") in ACTIVE:
            write_json(folder / "state.json", {**state, "status": "died", "exit_code": code})


def read_state_file(folder: Path) -> dict[str, Any]:
    """`state.json` as it stands, `{}` when there is none or it is damaged."""
    try:
        state = read_json(folder / "state.json", {})
    except (UserError, OSError):
        return {}
    return state if isinstance(state, dict) else {}


def read_job(folder: Path) -> JobState:
    """How the job in `folder` goes, whoever started it."""
    job = judge(read_state_file(folder))
    return replace(job, stopping=stop_requested(folder)) if job.active else job


def judge(state: dict[str, Any], alive: Callable[[int, float | None], bool] = lives) -> JobState:
    """Decide from the last written state and whether its process lives. Tests replay histories with it."""
    written = decode(state, _Written) or _Written()
    status, message = written.status, written.message
    if status in ACTIVE and not (written.pid and alive(written.pid, written.born)):
        status = "died"
    if status == "died":
        message = death_sentence(written.exit_code)
    fields = written.model_extra or {}
    return JobState(
        status, message, written.pid, written.stage, written.progress, written.started, dict(fields)
    )


def stop_requested(folder: Path) -> StopKind | None:
    """Whether somebody asked the job to end."""
    try:
        request = (folder / "stop.request").read_bytes().strip()
    except OSError:
        return None  # nobody asked, or what stands there is no request
    return "save" if request == b"save" else "stop" if request else None


def death_sentence(exit_code: int | None) -> str:
    """What a worker's sudden end most likely means, in one or two sentences."""
    if exit_code in KILLED:
        return (
            "The worker was killed by the system, most often because memory ran out. "
            "Close other programs or choose a shorter maximum length."
        )
    if exit_code in (*CRASHED, *ABORTED):
        return "The worker crashed inside a native library. Its log has the last words; try it once more."
    if exit_code is not None and exit_code != 0:
        return f"The worker ended suddenly with exit code {exit_code}. Its log says why."
    return "The worker is gone without a word: it was killed, or the machine went down."


def error_sentence(error: BaseException) -> str:
    """One sentence about any exception that ended a worker."""
    if isinstance(error, UserError):
        return str(error)
    if sentence := file_sentence(error):
        return sentence
    if isinstance(error, OSError) and (trouble := disk_trouble(error)):
        return (
            f"A file could not be written: {trouble.problem}. {trouble.remedy}, then resume or start again."
        )
    if is_out_of_memory(error):
        return "Memory ran out. Choose a shorter maximum length, micro-batch 1 or a smaller model."
    if isinstance(error, KeyboardInterrupt):
        return "The worker was interrupted. Resume it from the last checkpoint."
    first = first_line(error, 300)
    return f"An unexpected error ended the work: {type(error).__name__}: {first}. The log has the details."


def request_stop(folder: Path, how: StopKind = "stop") -> None:
    """Ask the worker to end at the next safe point; `save` also keeps what it has so far as the result."""
    write_atomic(folder / "stop.request", how)


def wait_job(folder: Path, timeout_s: float | None = None, poll_s: float = 0.2) -> JobState:
    """Wait until the job is over (or `timeout_s` seconds are), then its state."""
    end = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        state = read_job(folder)
        if not state.active or (end is not None and time.monotonic() > end):
            return state
        time.sleep(poll_s)


def log_tail(folder: Path, lines: int = 40) -> str:
    """The last lines of `worker.log`; of a progress bar that redraws itself, only its last state."""
    try:
        with open(folder / "worker.log", "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 64_000))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    shown = [re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line.rsplit("\r", 1)[-1]) for line in text.split("\n")]
    return "\n".join(shown[-lines:]).strip("\n")


def _new_state(status: Status, pid: int) -> dict[str, Any]:
    return {"status": status, "pid": pid, "born": birth(pid), "started": now(), "heartbeat": now()}


class Worker:
    """The worker's side of a job: `with Worker(folder) as worker: …`.

    Writes the state (with a heartbeat every 2 s), and on the way out what became of it: `done`, `stopped`
    (after `worker.stopped(...)`, or by Stopped, for which `when_stopped` is the sentence), `failed` for a
    UserError (its sentence) or any other exception (traceback in `worker.log`). Leaves the process with 0,
    2 or 1.
    """

    def __init__(self, folder: Path, when_stopped: str = "Stopped as asked.") -> None:
        self.folder = folder
        self.when_stopped = when_stopped
        self.events = EventLog(folder / "events.jsonl")
        self._state = _new_state("running", os.getpid())
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ending: Status = "done"

    def __enter__(self) -> Worker:
        # who started this notes it first; where that takes too long, the first heartbeat says it
        with suppress(OSError), _turn(self.folder):
            self.update()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        return self

    def update(self, **fields: Any) -> None:
        """Set fields of the state (`stage`, `progress` 0..1, `message`, any other) and write it.

        A disk that is full for a moment must not end a run that could go on, so a failed write of
        news is written to the log and tried again with the next heartbeat.
        """
        with self._lock:
            self._state.update(fields, heartbeat=now())
            try:
                write_json(self.folder / "state.json", self._state)
            except OSError as error:
                print(f"state.json could not be written: {error}", file=sys.stderr)
                if self._over.is_set():
                    with suppress(OSError):
                        self._write_over()

    def _write_over(self) -> None:
        """The last word where the disk has no room for a new file: into the block that the old one has."""
        with open(self.folder / "state.json", "r+b") as file:
            file.write(json.dumps(self._state).encode())
            file.truncate()

    def say(self, kind: str, **fields: Any) -> None:
        """Append an event; as with `update`, a full disk is said in the log and does not end the work."""
        try:
            self.events.append(kind, **fields)
        except OSError as error:
            print(f"event {kind} could not be written: {error}", file=sys.stderr)

    def stop_requested(self) -> StopKind | None:
        return stop_requested(self.folder)

    def stopped(self, message: str) -> None:
        """Say that the work ends early because it was asked to."""
        self._ending = "stopped"
        self.update(message=message)

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_S):
            self.update()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        self._over.set()
        if isinstance(error, Stopped):
            self.stopped(self.when_stopped)
        if error is None or isinstance(error, Stopped):
            self.say(self._ending)
            self.update(status=self._ending)
            return True
        traceback.print_exception(error)
        sentence = error_sentence(error)
        self.say("failed", message=sentence, error=type(error).__name__)
        self.update(status="failed", message=sentence, error=type(error).__name__)
        raise SystemExit(2 if isinstance(error, UserError) else 1) from error
