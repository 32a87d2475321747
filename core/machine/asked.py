"""Asks NVML through a child process that may crash or hang without harm, and never more than one of them."""

from __future__ import annotations

import atexit
import json
import queue
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

# Without persistence mode the driver wakes the cards at each first question, which takes seconds on servers
PATIENCE_S = 4.0
_GLANCE_S = 0.05
_REST_S = 60.0
_FAREWELL_S = 1.0


class NvmlAsker:
    """One question at a time to one child, which is started when needed and stays for the next question."""

    def __init__(self, arguments: tuple[str, ...] = (), patience: float = PATIENCE_S) -> None:
        script = Path(__file__).with_name("nvml.py")
        self.command = [sys.executable, "-I", "-S", str(script), *arguments]
        self.patience = patience
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()
        self._asked_at: float | None = None
        self._crashed: tuple[float, dict[str, Any]] | None = None

    def ask(self) -> dict[str, Any]:
        """What NVML answers, or `{"error": …}` when it crashed or does not answer in time."""
        with self._lock:
            if self._crashed and time.monotonic() - self._crashed[0] < _REST_S:
                return self._crashed[1]
            try:
                return self._ask()
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                self.close()
                return {"error": f"asking it failed ({error})"}

    def _ask(self) -> dict[str, Any]:
        child = self._living_child()
        patience = self.patience if self._asked_at is None else _GLANCE_S
        if self._asked_at is None and child.stdin:
            self._asked_at = time.monotonic()
            child.stdin.write("\n")
            child.stdin.flush()
        try:
            line = self._answers.get(timeout=patience)
        except queue.Empty:
            waited = time.monotonic() - (self._asked_at or time.monotonic())
            return {"error": f"no answer for {waited:.0f} s"}  # the question stays open for the next call
        self._asked_at = None
        return json.loads(line) if line else self._remember_crash(child)

    def _living_child(self) -> subprocess.Popen[str]:
        if self._child and self._asked_at is None and self._child.poll() is not None:
            self._forget()  # somebody ended it between two questions
        if self._child is None:
            self._answers = queue.Queue()
            self._child = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
            reader = threading.Thread(
                target=_listen, args=(self._child, self._answers), name="nvml", daemon=True
            )
            reader.start()
            atexit.register(self.close)
        return self._child

    def _remember_crash(self, child: subprocess.Popen[str]) -> dict[str, Any]:
        code = child.wait(timeout=self.patience)
        self._forget()
        error = {"error": f"asking it crashed (exit code {code})"}
        self._crashed = (time.monotonic(), error)
        return error

    def close(self) -> None:
        """End the child. One that hangs inside the driver can't be ended; it goes when the driver answers."""
        if self._child is not None:
            self._child.kill()
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(_FAREWELL_S)
            self._forget()

    def _forget(self) -> None:
        child, self._child, self._asked_at = self._child, None, None
        if child is not None and child.stdin:
            with suppress(BrokenPipeError):  # the question that it did not live to read
                child.stdin.close()
        atexit.unregister(self.close)


def _listen(child: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
    """Hand on every line; an empty one at the end."""
    if child.stdout:
        with child.stdout as lines:
            for line in lines:
                answers.put(line)
    answers.put("")


_asker = NvmlAsker()


def ask_nvml() -> dict[str, Any]:
    """What this machine's NVML answers now."""
    return _asker.ask()
