"""What every step of set-up works with: it runs tools (pip, venv, apt), shows how far they are, and keeps
their output in the log."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from core.base.process import ChildFailed, watch
from core.setup.plan import InstallPlan
from core.setup.state import Places, State

_TICK = 0.3  # seconds between redraws on a terminal
_SPARSE = 30.0  # seconds between lines where nobody watches
_WIDTH = 110  # characters of such a line

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


class Screen:
    """One line per step on `out`, alive on a terminal, sparse in a log:
    `[3/8] PyTorch (CPU)  0:41  Downloading torch 45 %`."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.live = self.out.isatty()
        self._head = self._text = ""
        self._began = self._drawn = 0.0

    def say(self, text: str) -> None:
        """A plain line of its own."""
        if self.live:
            self._write("\r" + " " * self._columns() + "\r")
        self._write(text + "\n")

    def begin(self, number: int, total: int, title: str) -> None:
        """Start the line of step `number` of `total`."""
        self._head, self._text = f"[{number}/{total}] {title}", ""
        self._began = self._drawn = time.monotonic()
        self._write(f"{self._head} …" + ("" if self.live else "\n"))

    def tell(self, text: str) -> None:
        """What the step is doing now; drawn with the next `tick`."""
        self._text = text

    def tick(self) -> None:
        """Redraw if it is time to."""
        now = time.monotonic()
        if now - self._drawn < (_TICK if self.live else _SPARSE):
            return
        self._drawn = now
        line = f"{self._head}  {self._elapsed()}  {self._text}"
        columns = self._columns()
        self._write("\r" + line[:columns].ljust(columns) if self.live else line[:_WIDTH].rstrip() + "\n")

    def end(self, word: str) -> None:
        """End the step's line with how long it took and what came of it."""
        self.say(f"{self._head}  {self._elapsed()}  {word}")

    def _elapsed(self) -> str:
        """Minutes and seconds since the step began, like 1:07."""
        seconds = int(time.monotonic() - self._began)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def _columns(self) -> int:
        return shutil.get_terminal_size().columns - 1

    def _write(self, text: str) -> None:
        encoding = self.out.encoding or "ascii"  # a Windows console may not know “…”
        self.out.write(text.encode(encoding, "replace").decode(encoding))
        self.out.flush()


@dataclass(frozen=True)
class Work:
    """One set-up at work."""

    places: Places
    plan: InstallPlan
    state: State
    screen: Screen

    def pip(self, *args: str) -> list[str]:
        """pip of `.venv`. Raises ChildFailed."""
        first, *rest = args
        quiet = ["--disable-pip-version-check"]
        # the raw progress bar is younger than many Pythons' pip
        if first in ("install", "download") and "tools" in self.state.steps:
            quiet += ["--progress-bar", "raw"]
        return self.module(self.places.python, "pip", first, *quiet, *rest)

    def module(self, python: Path, name: str, *args: str) -> list[str]:
        """`python -m name args…`, ended with us; its output lines. Raises ChildFailed."""
        return self.run([str(python), "-c", _LEASH, name, *args], shown=[str(python), "-m", name, *args])

    def run(
        self, command: list[str], shown: list[str] | None = None, env: dict[str, str] | None = None
    ) -> list[str]:
        """Run `command`; its last output lines. Raises ChildFailed when it fails or can't be started."""
        self.note("$ " + " ".join(shown or command))
        environment = self._environment(env or {})
        pipe = subprocess.PIPE
        try:
            child = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, env=environment
            )
        except OSError as error:
            raise ChildFailed(127, [f"{command[0]} could not be started: {error.strerror}"]) from error
        with child:
            return watch(child, self._hear, self.screen.tick)

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

    def _hear(self, line: str) -> bool:
        """Show `line` and log it; True for pip's raw download progress, which the log does not need."""
        progress = re.fullmatch(r"Progress (\d+) of (\d+)", line.strip())
        if progress:
            done, total = int(progress[1]), int(progress[2])
            more = f" {done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else ""
            self.screen.tell(f"downloading{more}")
            return True
        if line.strip() and not line.startswith("WARNING: Location"):
            self.screen.tell(line.strip())
        self.note(f"  {line}")
        return False
