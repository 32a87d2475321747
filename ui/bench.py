"""What stands behind every page: home folder, machine, the choices in their file, what this process keeps."""

from __future__ import annotations

import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from core.base.errors import UserError, file_sentence
from core.base.events import now
from core.base.files import write_json
from core.base.home import APP_FOLDER, STARTER, Home
from core.chat.talk import Talk
from core.data.check import CheckState, Question
from core.fit import Lengths
from core.machine import Hardware, find_hardware
from core.models import model_folder
from core.runs.run import Run
from ui.choices import Choices
from ui.memo import Errands, Memo

HARDWARE_AGE_S = 30.0


class Bench:
    """One per app process. Holds nothing that a restart would lose.

    `row` is the row in sight in the Data step, `drafts` the column roles that are not applied yet, `exact`
    the data whose every row is measured, `lengths` how long rows of data are, `words` what the hub was asked
    for, `checked` the check that was looked at last. Whoever writes the cleaned copy holds `cleaning`.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self.memo = Memo()
        self.errands = Errands(self.log_error)
        self.row = 0
        self.drafts: dict[str, dict[str, str]] = {}
        self.exact: set[str] = set()
        self.lengths: dict[str, Lengths] = {}
        self.words = ""
        self.checked: tuple[Question, CheckState] | None = None
        self.cleaning = threading.Lock()
        self._choosing = threading.Lock()
        self._talking = threading.Lock()
        self._talks: dict[str, Talk] = {}

    @property
    def hardware(self) -> Hardware:
        """The machine as found at most half a minute ago: free memory changes."""
        return self.memo.get("machine", (), lambda: find_hardware(self.home.root), for_s=HARDWARE_AGE_S)

    def look_again(self) -> None:
        """Measure the machine anew at the next question."""
        self.memo.forget("machine")

    @property
    def _file(self) -> Path:
        return self.home.root / "choices.json"

    def choices(self) -> Choices:
        return Choices.read(self._file)

    def choose(self, **changes: Any) -> Choices:
        """Change some choices and keep them."""
        return self.change(lambda choices: replace(choices, **changes))

    def change(self, make: Callable[[Choices], Choices]) -> Choices:
        """Keep what `make` makes of the choices; two changes at the same moment both count."""
        with self._choosing:
            choices = make(self.choices())
            write_json(self._file, asdict(choices))
        return choices

    def talk(self, run: Run) -> Talk:
        """The conversation with a run; the same one for every page."""
        with self._talking:
            if run.name not in self._talks:
                self._talks[run.name] = Talk(run.chats).load()
            return self._talks[run.name]

    def starter_ready(self) -> bool:
        """Whether the starter model stands in the home folder."""
        return (model_folder(self.home, STARTER) / "starter.json").is_file()

    def build_starter(self) -> None:
        """Build the starter model in a process of its own, once; the pages see when it is there."""
        if not self.starter_ready():
            self.errands.run("starter", self._build_starter)

    def _build_starter(self) -> None:
        command = [sys.executable, "-m", "core.models.starter", str(self.home.root)]
        done = subprocess.run(command, cwd=APP_FOLDER, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode != 0:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise UserError(lines[-1] if lines else "The starter model could not be built.")

    def log_error(self, error: BaseException) -> str:
        """Write the trace to the app's log; a sentence about it, or one that says where that is."""
        path = self.home.root / "app.log"
        with open(path, "a", encoding="utf-8") as log:
            log.write(f"\n--- {now()}\n")
            traceback.print_exception(error, file=log)
        return file_sentence(error) or f"{type(error).__name__}: {error}. The details are in {path}."
