"""Asks NVML through a child process that may crash or hang without harm, and never more than one of them."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

# Without persistence mode the driver wakes the cards at each first question, which takes seconds on servers
PATIENCE_S = 4.0
_GLANCE_S = 0.05
_REST_S = 60.0


class NvmlQuestion:
    """One question at a time, each to a child of its own. One that is not answered in time stays open: the
    next call looks whether its answer has come. A child that hangs inside the driver can't be ended; it goes
    when the driver answers."""

    def __init__(self, arguments: tuple[str, ...] = ()) -> None:
        script = Path(__file__).with_name("nvml.py")
        self.command = [sys.executable, "-I", "-S", str(script), *arguments]
        self._lock = threading.Lock()
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._open_since: float | None = None
        self._crash: tuple[float, dict[str, Any]] | None = None

    def ask(self, patience: float = PATIENCE_S) -> dict[str, Any]:
        """What NVML answers, or `{"error": …}` when it crashed or does not answer in `patience` seconds."""
        with self._lock:
            if self._crash and time.monotonic() - self._crash[0] < _REST_S:
                return self._crash[1]
            if self._open_since is not None:
                patience = _GLANCE_S
            else:
                self._open_since = time.monotonic()
                threading.Thread(target=self._run, name="nvml", daemon=True).start()
            try:
                answer = self._answers.get(timeout=patience)
            except queue.Empty:
                return {"error": f"no answer for {time.monotonic() - self._open_since:.0f} s"}
            self._open_since = None
            return answer

    def _run(self) -> None:
        try:
            child = subprocess.run(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
            if child.returncode == 0:
                answer = json.loads(child.stdout)
            else:
                answer = {"error": f"asking it crashed (exit code {child.returncode})"}
                self._crash = time.monotonic(), answer
        except (OSError, ValueError) as error:
            answer = {"error": f"asking it failed ({error})"}
        self._answers.put(answer)


_question = NvmlQuestion()


def ask_nvml(patience: float) -> dict[str, Any]:
    """What this machine's NVML answers now."""
    return _question.ask(patience)
