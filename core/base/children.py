"""Child processes: run one to its end under a watchful eye, and never outlive the process that started it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO

from core.base.home import APP_FOLDER, library_env
from core.base.processes import birth, lives

PARENT = "LORA_GARAGE_PARENT"
_WATCH_S = 1.0
_TELLING = re.compile(
    r"error|exception|fail|abort|assert|what\(\)|invalid|unable|cannot|refus|out of memory", re.I
)
_NOISE = re.compile(r"^\s*(File \"|Traceback|at 0x|During handling|\[New LWP)|\^{3,}")


class ChildStopped(Exception):
    """The child was ended because somebody asked for it."""


class ChildFailed(Exception):
    """The child ended with `code`; `line` is the most telling line of what it said."""

    def __init__(self, code: int, line: str) -> None:
        super().__init__(f"exit code {code}: {line}")
        self.code = code
        self.line = line


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
    module: str, args: list[str], output: IO[bytes] | int, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `python -m module *args`; what it says goes to `output`. It may call `die_with_parent`."""
    marked = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
        **parent_mark(),
        # a prebuilt llama.cpp for CUDA finds torch's libraries only when told where they lie
        **library_env(),
        **(env or {}),
    }
    return subprocess.Popen(
        [sys.executable, "-m", module, *args],
        cwd=APP_FOLDER,
        env=marked,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        creationflags=subprocess.CREATE_NO_WINDOW if sys.platform == "win32" else 0,
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
    `stop` is asked several times a second; when it answers, the child is ended: ChildStopped. A child that
    ends with anything but 0 is ChildFailed.
    """
    child = spawn(module, args, subprocess.PIPE, env)
    lines: list[str] = []
    reader = threading.Thread(target=_read, args=(child, lines, on_line), daemon=True)
    reader.start()
    try:
        while child.poll() is None:
            if stop():
                raise ChildStopped
            time.sleep(0.1)
        reader.join(timeout=5)
    finally:
        end(child)
    if child.returncode != 0:
        raise ChildFailed(child.returncode, telling_line("\n".join(lines)))


def _read(child: subprocess.Popen[bytes], lines: list[str], on_line: Callable[[str], bool]) -> None:
    """Lines as they come; a progress bar's carriage return ends one, too."""
    assert child.stdout is not None
    rest = b""
    while piece := os.read(child.stdout.fileno(), 1 << 16):
        *whole, rest = re.split(rb"[\r\n]+", rest + piece)
        for raw in whole:
            line = raw.decode("utf-8", "replace")
            if not on_line(line):
                print(line, flush=True)
                lines[:] = [*lines[-199:], line]


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
    """An exit code in words: "was killed", "crashed (abort)", "ended with code 3"."""
    if code in (-9, 137):
        return "was killed, most often because memory ran out"
    if code in (-6, 134, 3, 3221226505):
        return "gave up (abort)"
    if code in (-11, 139, 3221225477):
        return "crashed (access violation)"
    return f"ended with code {code}"
