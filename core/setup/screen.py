"""What set-up shows: one line per step, alive on a terminal, sparse in a log."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

_TICK = 0.3  # seconds between redraws on a terminal
_SPARSE = 30.0  # seconds between lines where nobody watches
_WIDTH = 110  # characters of such a line


class Screen:
    """Progress lines on `out`, like `[3/8] PyTorch (CPU)  0:41  Downloading torch 45 %`."""

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
        """What the step is doing now; drawn now and then."""
        self._text = text
        self.tick()

    def tick(self) -> None:
        """Redraw if it is time to."""
        now = time.monotonic()
        if now - self._drawn < (_TICK if self.live else _SPARSE):
            return
        self._drawn = now
        line = f"{self._head}  {self.elapsed()}  {self._text}"
        columns = self._columns()
        self._write("\r" + line[:columns].ljust(columns) if self.live else line[:_WIDTH].rstrip() + "\n")

    def end(self, word: str) -> None:
        """End the step's line with how long it took and what came of it."""
        self.say(f"{self._head}  {self.elapsed()}  {word}")

    def elapsed(self) -> str:
        """Minutes and seconds since the step began, like 1:07."""
        seconds = int(time.monotonic() - self._began)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def _columns(self) -> int:
        return shutil.get_terminal_size().columns - 1

    def _write(self, text: str) -> None:
        encoding = self.out.encoding or "ascii"  # a Windows console may not know “…”
        self.out.write(text.encode(encoding, "replace").decode(encoding))
        self.out.flush()
