"""What every step of set-up works with: it runs tools (pip, venv, apt), their output goes to the log."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.setup.places import Places
from core.setup.plan import InstallPlan
from core.setup.screen import Screen
from core.setup.state import State

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
    *("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER"),
    "PIP_REQUIRE_VIRTUALENV",
)


class CommandFailed(Exception):
    """A tool ended with an error. `output` holds its last lines."""

    def __init__(self, code: int, output: list[str]) -> None:
        super().__init__(f"exit code {code}")
        self.code = code
        self.output = [*output, f"exit code {code}"]


@dataclass(frozen=True)
class Work:
    """One set-up at work."""

    places: Places
    plan: InstallPlan
    state: State
    screen: Screen

    def pip(self, *args: str) -> list[str]:
        """pip of `.venv`. Raises CommandFailed."""
        first, *rest = args
        quiet = ["--disable-pip-version-check"]
        # the raw progress bar is younger than many Pythons' pip
        if first in ("install", "download") and "tools" in self.state.steps:
            quiet += ["--progress-bar", "raw"]
        return self.module(self.places.python, "pip", first, *quiet, *rest)

    def module(self, python: Path, name: str, *args: str) -> list[str]:
        """`python -m name args…`, ended with us; its output lines. Raises CommandFailed."""
        return self.run([str(python), "-c", _LEASH, name, *args], shown=[str(python), "-m", name, *args])

    def run(
        self, command: list[str], shown: list[str] | None = None, env: dict[str, str] | None = None
    ) -> list[str]:
        """Run `command`; its last output lines. Raises CommandFailed when it fails or can't be started."""
        self.note("$ " + " ".join(shown or command))
        pipe = subprocess.PIPE
        environment = self._environment(env or {})
        try:
            child = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, env=environment
            )
        except OSError as error:
            raise CommandFailed(127, [f"{command[0]} could not be started: {error.strerror}"]) from error
        with child:
            try:
                lines = self._follow(child)
            except BaseException:
                _end(child)
                raise
        if child.returncode != 0:
            raise CommandFailed(child.returncode, lines)
        return lines

    def note(self, line: str) -> None:
        """Add a line to the log. On a full disk the line is lost: the sentence on the screen says it, too."""
        with suppress(OSError), open(self.places.log, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    def _environment(self, extra: dict[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _UNWANTED}
        kept.update(PYTHONUNBUFFERED="1", PYTHONNOUSERSITE="1", PIP_NO_INPUT="1", **extra)
        if sys.platform != "win32":  # there, a longer path would break llama.cpp's build
            self.places.temporary.mkdir(parents=True, exist_ok=True)
            kept["TMPDIR"] = str(self.places.temporary)
        return kept

    def _follow(self, child: subprocess.Popen[bytes]) -> list[str]:
        """Read the child's output to its end, the newest line to the screen; the last lines."""
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read_lines, args=(child, lines), daemon=True).start()
        kept: list[str] = []
        while True:
            try:
                line = lines.get(timeout=0.3)
            except queue.Empty:
                self.screen.tick()
                continue
            if line is None:
                child.wait()
                return kept
            if not show_progress(line, self.screen):
                self.note(f"  {line}")
                kept = [*kept[-_KEPT_LINES:], line]


def _read_lines(child: subprocess.Popen[bytes], lines: queue.Queue[str | None]) -> None:
    assert child.stdout
    for raw in child.stdout:
        lines.put(raw.decode("utf-8", "replace").rstrip())
    lines.put(None)


def show_progress(line: str, screen: Screen) -> bool:
    """Show `line` on the screen; True for pip's raw download progress, which the log does not need."""
    progress = re.fullmatch(r"Progress (\d+) of (\d+)", line.strip())
    if progress:
        done, total = int(progress[1]), int(progress[2])
        screen.tell(f"downloading {done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else "downloading")
    elif line.strip() and not line.startswith("WARNING: Location"):
        screen.tell(line.strip())
    return bool(progress)


def _end(child: subprocess.Popen[bytes]) -> None:
    """After Ctrl-C: the child has it too; give it a moment to tidy up."""
    try:
        child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
