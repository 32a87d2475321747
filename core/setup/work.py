"""What every step of set-up works with."""

from __future__ import annotations

from dataclasses import dataclass

from core.setup.audit import drop_damaged
from core.setup.child import Runner
from core.setup.places import Places
from core.setup.plan import Plan
from core.setup.screen import Screen
from core.setup.state import State


@dataclass(frozen=True)
class Work:
    """What a step works with."""

    places: Places
    plan: Plan
    runner: Runner
    screen: Screen
    state: State

    def pip(self, *args: str) -> list[str]:
        """pip of `.venv`. Raises CommandFailed."""
        first, *rest = args
        quiet = ["--disable-pip-version-check"]
        if first in ("install", "download"):
            quiet += ["--progress-bar", "raw"] if self._new_pip() else []
        return self.runner.module(self.places.python, "pip", first, *quiet, *rest)

    def _new_pip(self) -> bool:
        return "tools" in self.state.steps  # the raw progress bar is younger than many Pythons' pip

    def drop_interrupted(self) -> None:
        """Make pip install anew what an interrupted pip left half-installed."""
        folder = self.places.site_packages
        for package in drop_damaged(folder) if folder else []:
            self.runner.note(f"half-installed, will be installed anew: {package}")
