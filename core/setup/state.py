"""Where set-up keeps things below one checkout, what it has done there, and the quick look at every start."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.files import write_json
from core.base.home import APP_FOLDER, CONVERTER, GARAGE, STARTER_GGUF

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FORMAT = 1
_READY = "ready"


class Places:
    """Every path that set-up reads or writes, below the app's folder `app`. They need not exist yet."""

    def __init__(self, app: Path = APP_FOLDER) -> None:
        self.app = app
        self.venv = app / ".venv"
        self.python = self.venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        # says which set-up made .venv
        self.venv_id = self.venv / ".made-by-set-up"
        self.garage = app / GARAGE.name
        self.state = self.garage / "setup.json"
        self.log = self.garage / "setup.log"
        self.lock = self.garage / "setup.lock"
        self.temporary = self.garage / "tmp"
        self.converter = self.garage / CONVERTER.relative_to(GARAGE)
        self.starter = self.garage / STARTER_GGUF.relative_to(GARAGE)

    def requirements(self, name: str) -> Path:
        """The lock `assets/requirements/<name>.txt`."""
        return self.app / "assets" / "requirements" / f"{name}.txt"

    @property
    def site_packages(self) -> Path | None:
        """Where `.venv` keeps its packages; None before it exists."""
        pattern = "Lib/site-packages" if sys.platform == "win32" else "lib/python3.*/site-packages"
        return next(self.venv.glob(pattern), None)


def ready(places: Places, test: bool = False) -> bool:
    """Whether set-up ended with today's requirement files and code, and what it made is still there.

    A False is no verdict: `prepare` then asks every step, and may find nothing to do.
    """
    mark: Any = State.load(places.state).values.get(_READY)
    try:
        fresh = mark["inputs"] == _inputs(places) and (mark["test"] or not test)
    except (OSError, KeyError, TypeError):
        return False
    converter = places.converter / "convert_hf_to_gguf.py"
    # their presence stands for the rest
    return fresh and all(p.exists() for p in (places.python, places.venv_id, converter, places.starter))


def _inputs(places: Places) -> str:
    """A hash over everything that decides what set-up installs: the locks and set-up's own code."""
    locks = (places.app / "assets" / "requirements").glob("*.txt")
    return fingerprint(*sorted(locks), *sorted(Path(__file__).parent.glob("*.py")))


def fingerprint(*inputs: str | Path) -> str:
    """A short hash over strings and the contents of files; a missing file counts as empty."""
    digest = hashlib.sha256()
    for item in inputs:
        content = item.encode() if isinstance(item, str) else item.read_bytes() if item.is_file() else b""
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:16]


@dataclass
class State:
    """What is done, in `.garage/setup.json`. Written after every change, so that a kill at any moment loses
    one step at most."""

    path: Path
    values: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def load(path: Path) -> State:
        """The state in `path`; an empty one if it is missing, damaged or of another format."""
        try:
            values = json.loads(path.read_bytes())
        except (OSError, ValueError):
            values = {}
        sound = isinstance(values, dict) and values.get("format") == _FORMAT
        return State(path, values if sound else {})

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        """The marks of the steps that are done, by name: fingerprint, seconds, finished, details."""
        return self.values.setdefault("steps", {})

    @property
    def begun(self) -> str | None:
        """The step that was under way when the last set-up ended, however it ended."""
        return self.values.get("begun")

    def begin(self, step: str) -> None:
        """Note that `step` is under way: until `finish`, nothing of it counts."""
        self.steps.pop(step, None)
        self.values.pop(_READY, None)
        self.values["begun"] = step
        self.save()

    def finish(self, step: str, fingerprint: str, seconds: float, details: dict[str, Any]) -> None:
        """Note that `step` is done with the inputs that `fingerprint` stands for."""
        self.steps[step] = {
            "fingerprint": fingerprint,
            "seconds": round(seconds, 1),
            "finished": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "details": details,
        }
        self.values.pop("begun", None)
        self.save()

    def mark_ready(self, places: Places, test: bool) -> None:
        """Note that all steps are done, with the test steps or without."""
        self.values[_READY] = {"inputs": _inputs(places), "test": test}
        self.save()

    def save(self) -> None:
        write_json(self.path, {**self.values, "format": _FORMAT})


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, which the system drops by itself when its holder dies; a UserError that
    names the holder if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        try:
            _lock(file.fileno())
        except OSError as error:
            file.seek(0)
            holder = file.read(32).decode("ascii", "replace").strip()
            raise UserError(
                f"Another set-up of this folder is running (process {holder or 'unknown'}). "
                "Wait until it is done, then start again."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        file.flush()
        yield


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        # one byte far behind the text, so that others can still read who holds it
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
