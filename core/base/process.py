"""Processes of ours: started, watched to their end, ended; told apart from a later one of the same number.

A detached one outlives this process (a job); any other may call `die_with_parent` and then never does.
Standard library only at its import: set-up's children are watched and ended here, too.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from core.base.errors import Stopped
from core.base.home import APP_FOLDER, library_env

PARENT = "LORA_GARAGE_PARENT"
_WATCH_S = 1.0
# birth times agree to fractions of a second
_SAME_S = 0.05
_TELLING = re.compile(
    r"error|exception|fail|abort|assert|what\(\)|invalid|unable|cannot|refus|out of memory", re.I
)
_NOISE = re.compile(
    r"^\s*(File \"|Traceback|at 0x|During handling|\[New LWP|\[notice\]|note:|hint:|╰─>)|\^{3,}"
    r"|WARNING: (?:Location|Retrying|There was an error checking)"
)
_KEPT_LINES = 400
# exit codes: on Linux and macOS as Popen and as a shell gives them, then Windows'
KILLED = (-9, 137)
ABORTED = (-6, 134, 3, 3221226505)
CRASHED = (-11, 139, 3221225477)


class ChildFailed(Exception):
    """The child ended with `code`; `output` are its last lines, `line` is the most telling one."""

    def __init__(self, code: int, output: list[str]) -> None:
        self.code, self.output, self.line = code, output, telling_line("\n".join(output))
        super().__init__(f"exit code {code}: {self.line}")


def birth(pid: int) -> float | None:
    """When the process began, in seconds that never change while it lives; None where it is gone or a zombie.

    On Linux since the system's start: psutil adds the wall-clock time of that start, which moves whenever the
    clock is set (proc(5), field 22 of /proc/PID/stat; psutil 7.2, `Process.create_time`).
    """
    if sys.platform == "linux":
        try:
            # the second field is the program's name in brackets, and may hold anything
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return None
        return None if fields[0] in (b"Z", b"X") else int(fields[19]) / os.sysconf("SC_CLK_TCK")
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def lives(pid: int, born: float | None) -> bool:
    """Whether the process `pid` that began at `born` still runs; None stands for any time."""
    began = birth(pid)
    return began is not None and (born is None or abs(began - born) <= _SAME_S)


def parent_mark() -> dict[str, str]:
    """Environment for a child that calls `die_with_parent`: who this process is."""
    return {PARENT: f"{os.getpid()}:{birth(os.getpid())}"}


def die_with_parent() -> None:
    """End this process, without ceremony, soon after the one named by `parent_mark` is gone."""
    mark = os.environ.get(PARENT)
    if not mark:
        return
    pid, born = mark.split(":")

    def watch() -> None:
        while lives(int(pid), float(born)):
            time.sleep(_WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def spawn(
    module: str,
    args: list[str],
    output: IO[bytes] | int,
    env: Mapping[str, str] | None = None,
    detached: bool = False,
) -> subprocess.Popen[bytes]:
    """Start `python -m module *args`; what it says goes to `output`. A detached one outlives our terminal."""
    # a prebuilt llama.cpp for CUDA finds torch's libraries only when told where they lie
    child = {} if detached else {**parent_mark(), **library_env()}
    utf8 = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW | (subprocess.CREATE_NEW_PROCESS_GROUP if detached else 0)
    return subprocess.Popen(
        [sys.executable, "-m", module, *args],
        cwd=APP_FOLDER,
        env={**os.environ, **utf8, **child, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        creationflags=flags,
        start_new_session=detached and sys.platform != "win32",
    )


def run_child(
    module: str,
    args: list[str],
    on_line: Callable[[str], bool],
    stop: Callable[[], object],
    env: Mapping[str, str] | None = None,
) -> None:
    """Run `python -m module *args` to its end; each line that it says goes to `on_line`.

    Where `on_line` answers False the line also goes to our own output, the log; progress lines don't.
    `stop` is asked several times a second; when it answers, the child is ended: Stopped. A child that
    ends with anything but 0 is ChildFailed.
    """

    def heard(line: str) -> bool:
        known = on_line(line)
        if not known:
            print(line, flush=True)
        return known

    watch(spawn(module, args, subprocess.PIPE, env), heard, stop)


def watch(
    child: subprocess.Popen[bytes], on_line: Callable[[str], bool], stop: Callable[[], object]
) -> list[str]:
    """Follow a child to its end as `run_child` does; the last lines for which `on_line` answered False."""
    lines: list[str] = []
    reader = threading.Thread(target=_read, args=(child, lines, on_line), daemon=True)
    reader.start()
    try:
        while child.poll() is None:
            if stop():
                raise Stopped
            time.sleep(0.1)
        reader.join(timeout=5)
    except KeyboardInterrupt:
        # the child has it too: it gets a moment to tidy up
        with suppress(subprocess.TimeoutExpired):
            child.wait(5)
        raise
    finally:
        end(child)
    if child.returncode != 0:
        raise ChildFailed(child.returncode, lines)
    return lines


def _read(child: subprocess.Popen[bytes], lines: list[str], on_line: Callable[[str], bool]) -> None:
    """Lines as they come; a progress bar's carriage return ends one, too."""
    assert child.stdout is not None
    rest = b""
    while piece := os.read(child.stdout.fileno(), 1 << 16):
        *whole, rest = re.split(rb"[\r\n]+", rest + piece)
        _hear(whole, lines, on_line)
    _hear([rest] if rest else [], lines, on_line)


def _hear(whole: list[bytes], lines: list[str], on_line: Callable[[str], bool]) -> None:
    heard = [raw.decode("utf-8", "replace").rstrip() for raw in whole]
    lines[:] = [*lines, *(line for line in heard if not on_line(line))][-_KEPT_LINES:]


def end(child: subprocess.Popen[bytes], patience_s: float = 5.0) -> None:
    """End a child that is still there, politely, then for certain."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(patience_s)
    except subprocess.TimeoutExpired:
        child.kill()
        with suppress(subprocess.TimeoutExpired):
            child.wait(patience_s)


def telling_line(text: str) -> str:
    """The last line of a log that sounds like a reason; else its last line; at most 300 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _NOISE.search(line)]
    telling = [line for line in lines if _TELLING.search(line)]
    return (telling or lines or ["it said nothing"])[-1][:300]


def death(code: int) -> str:
    """An exit code in words: "was killed", "gave up (abort)", "ended with code 4"."""
    if code in KILLED:
        return "was killed, most often because memory ran out"
    if code in ABORTED:
        return "gave up (abort)"
    if code in CRASHED:
        return "crashed (access violation)"
    return f"ended with code {code}"
