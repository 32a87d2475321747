"""A set-up at work in a folder, for the tests of set-up."""

from __future__ import annotations

import io
from pathlib import Path

from core.setup.plan import InstallPlan
from core.setup.state import Places, State
from core.setup.work import Screen, Work

PLAN = InstallPlan("cpu", "test", ("cpu",))


def work_in(folder: Path) -> Work:
    """For the CPU, with nothing done yet and its screen in a string."""
    places = Places(folder)
    places.garage.mkdir(exist_ok=True)
    return Work(places, PLAN, State(places.state), Screen(io.StringIO()))
