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
        self._head = ""
        self._began = 0.0
        self._drawn = 0.0
        self._text = ""

    def say(self, text: str) -> None:
        """A plain line of its own."""
        self._clear()
        self._write(text + "\n")

    def begin(self, number: int, total: int, title: str) -> None:
        """Start the line of step `number` of `total`."""
        self._head = f"[{number}/{total}] {title}"
        self._began = self._drawn = time.monotonic()
        self._text = ""
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
        line = f"{self._head}  {elapsed(now - self._began)}  {self._text}"
        if self.live:
            self._write("\r" + fit(line, shutil.get_terminal_size().columns - 1))
        else:
            self._write(line[:_WIDTH].rstrip() + "\n")

    def done(self, text: str = "") -> None:
        """End the step's line with how long it took."""
        self._clear()
        spent = elapsed(time.monotonic() - self._began)
        self._write(f"{self._head}  {spent}  done{': ' + text if text else ''}\n")

    def failed(self, text: str = "failed") -> None:
        """End the step's line with what stopped it."""
        self._clear()
        self._write(f"{self._head}  {text}\n")

    def _clear(self) -> None:
        if self.live:
            self._write("\r" + fit("", shutil.get_terminal_size().columns - 1) + "\r")

    def _write(self, text: str) -> None:
        encoding = self.out.encoding or "ascii"  # a Windows console may not know “…”
        self.out.write(text.encode(encoding, "replace").decode(encoding))
        self.out.flush()


def elapsed(seconds: float) -> str:
    """Minutes and seconds, like 1:07."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def fit(line: str, width: int) -> str:
    """`line` cut or padded to exactly `width` characters."""
    return line[:width].ljust(width)
