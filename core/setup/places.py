"""Where set-up keeps things, below one checkout."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from core.base.home import APP_FOLDER, CONVERTER, GARAGE, STARTER_GGUF


@dataclass(frozen=True)
class Places:
    """Every path that set-up reads or writes, below the app's folder `app`."""

    app: Path = APP_FOLDER

    @property
    def venv(self) -> Path:
        return self.app / ".venv"

    @property
    def python(self) -> Path:
        """The interpreter inside `.venv`, whether it exists yet or not."""
        return self.venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    @property
    def venv_id(self) -> Path:
        """A file inside `.venv` that says which set-up made it."""
        return self.venv / ".made-by-set-up"

    @property
    def garage(self) -> Path:
        return self.app / GARAGE.name

    @property
    def state(self) -> Path:
        return self.garage / "setup.json"

    @property
    def log(self) -> Path:
        return self.garage / "setup.log"

    @property
    def lock(self) -> Path:
        return self.garage / "setup.lock"

    @property
    def temporary(self) -> Path:
        return self.garage / "tmp"

    @property
    def converter(self) -> Path:
        return self.garage / CONVERTER.relative_to(GARAGE)

    @property
    def starter(self) -> Path:
        return self.garage / STARTER_GGUF.relative_to(GARAGE)

    def requirements(self, name: str) -> Path:
        """The lock `assets/requirements/<name>.txt`."""
        return self.app / "assets" / "requirements" / f"{name}.txt"

    @property
    def site_packages(self) -> Path | None:
        """Where `.venv` keeps its packages; None before it exists."""
        if sys.platform == "win32":
            found = self.venv / "Lib" / "site-packages"
            return found if found.is_dir() else None
        return next(self.venv.glob("lib/python3.*/site-packages"), None)
