"""Where set-up keeps things below one checkout, and the quick look at every start: is everything set up?"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from core.base.home import APP_FOLDER, CONVERTER, GARAGE, STARTER_GGUF

READY = "ready"


class StepFailed(Exception):
    """A step of set-up failed: says which, why and what to do. `log` has everything."""

    def __init__(self, sentence: str, log: Path) -> None:
        super().__init__(sentence)
        self.log = log


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


def ready(places: Places | None = None, test: bool = False) -> bool:
    """Whether set-up ended with today's requirement files and code, and what it made is still there.

    A False is no verdict: `prepare` then asks every step, and may find nothing to do.
    """
    places = places or Places()
    try:
        mark = json.loads(places.state.read_bytes())[READY]
        fresh = mark["inputs"] == _inputs(places) and (mark["test"] or not test)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    converter = places.converter / "convert_hf_to_gguf.py"
    # their presence stands for the rest
    return fresh and all(p.exists() for p in (places.python, places.venv_id, converter, places.starter))


def mark_ready(values: dict[str, Any], places: Places, test: bool) -> None:
    """Note in the state's `values` that all steps are done, with the test steps or without."""
    values[READY] = {"inputs": _inputs(places), "test": test}


def _inputs(places: Places) -> str:
    """A hash over everything that decides what set-up installs: the locks and set-up's own code."""
    digest = hashlib.sha256()
    locks = (places.app / "assets" / "requirements").glob("*.txt")
    for path in [*sorted(locks), *sorted(Path(__file__).parent.glob("*.py"))]:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()
