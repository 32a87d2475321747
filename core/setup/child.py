"""Runs the tools that set-up needs (pip, venv, apt): output to the log, the newest line to the screen."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from core.setup.screen import Screen

_KEPT_LINES = 400

# A child that reads our end of its input: when set-up dies, however it dies, the pipe closes and the child
# ends too. A pip that went on alone would write into the same .venv as the next set-up's.
_LEASH = """
import os, runpy, sys, threading
leash = os.dup(0)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # on Windows, a child that shares a pipe being read hangs
def watch():
    os.read(leash, 1)
    os._exit(70)
threading.Thread(target=watch, daemon=True).start()
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""

# Settings of the user's that would make pip install elsewhere than into .venv.
_UNWANTED = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_USER",
    "PIP_REQUIRE_VIRTUALENV",
)


class CommandFailed(Exception):
    """A tool ended with an error. `output` holds its last lines."""

    def __init__(self, code: int, output: list[str]) -> None:
        super().__init__(f"exit code {code}")
        self.code = code
        self.output = [*output, f"exit code {code}"]


class Runner:
    """Runs commands for one set-up, with their output in `log` and their temporary files in `temporary`."""

    def __init__(self, screen: Screen, log: Path, temporary: Path) -> None:
        self.screen = screen
        self.log = log
        self.temporary = temporary

    def module(self, python: Path, name: str, *args: str, env: dict[str, str] | None = None) -> list[str]:
        """`python -m name args…`, ended with us; its output lines. Raises CommandFailed."""
        return self.run(
            [str(python), "-c", _LEASH, name, *args], shown=[str(python), "-m", name, *args], env=env
        )

    def run(
        self, command: list[str], shown: list[str] | None = None, env: dict[str, str] | None = None
    ) -> list[str]:
        """Run `command`; its last output lines. Raises CommandFailed when it fails or can't be started."""
        self.note("$ " + " ".join(shown or command))
        with self._start(command, env or {}) as child:
            try:
                lines = self._follow(child)
            except BaseException:
                _end(child)
                raise
        if child.returncode != 0:
            raise CommandFailed(child.returncode, lines)
        return lines

    def _start(self, command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, env=self._environment(env)
            )
        except OSError as error:
            raise CommandFailed(127, [f"{command[0]} could not be started: {error.strerror}"]) from error

    def note(self, line: str) -> None:
        """Add a line to the log. On a full disk the line is lost: the sentence on the screen says it, too."""
        with suppress(OSError), open(self.log, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    def _environment(self, extra: dict[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _UNWANTED}
        kept.update(PYTHONUNBUFFERED="1", PYTHONNOUSERSITE="1", PIP_NO_INPUT="1", **extra)
        if sys.platform != "win32":  # there, a longer path would break llama.cpp's build
            self.temporary.mkdir(parents=True, exist_ok=True)
            kept["TMPDIR"] = str(self.temporary)
        return kept

    def _follow(self, child: subprocess.Popen[bytes]) -> list[str]:
        """Read the child's output to its end; the last lines."""
        arrived: queue.Queue[str | None] = queue.Queue()
        reader = threading.Thread(target=_read_lines, args=(child, arrived), daemon=True)
        reader.start()
        kept: list[str] = []
        with open(self.log, "a", encoding="utf-8") as log:
            while (line := self._next(arrived)) is not None:
                if show_progress(line, self.screen):
                    continue
                log.write(f"{time.strftime('%H:%M:%S')}   {line}\n")
                log.flush()
                kept = [*kept[-_KEPT_LINES:], line]
        child.wait()
        return kept

    def _next(self, arrived: queue.Queue[str | None]) -> str | None:
        while True:
            try:
                return arrived.get(timeout=0.3)
            except queue.Empty:
                self.screen.tick()


def _read_lines(child: subprocess.Popen[bytes], arrived: queue.Queue[str | None]) -> None:
    assert child.stdout
    for raw in child.stdout:
        arrived.put(raw.decode("utf-8", "replace").rstrip())
    arrived.put(None)


def show_progress(line: str, screen: Screen) -> bool:
    """Show `line` on the screen; True for pip's raw download progress, which the log does not need."""
    progress = re.fullmatch(r"Progress (\d+) of (\d+)", line.strip())
    if not progress:
        if line.strip() and not line.startswith("WARNING: Location"):
            screen.tell(line.strip())
        return False
    done, total = int(progress[1]), int(progress[2])
    if total:
        screen.tell(f"downloading {done / 1e6:.0f} of {total / 1e6:.0f} MB")
    return True


def _end(child: subprocess.Popen[bytes]) -> None:
    """After Ctrl-C: the child has it too; give it a moment to tidy up."""
    try:
        child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
