"""Runs three tiny set-up steps in the folder `argv[1]`; the middle one is a child that takes `argv[2]` s."""

import sys
from pathlib import Path

from core.setup.lock import only_one
from core.setup.places import Places
from core.setup.plan import Plan
from core.setup.prepare import run_steps
from core.setup.screen import Screen
from core.setup.state import State
from core.setup.steps import Step
from core.setup.work import Work


def count(name: str):
    def run(work: Work) -> dict[str, int]:
        with open(work.places.app / name, "a", encoding="utf-8") as file:
            file.write("ran\n")
        return {}

    return run


def child(work: Work) -> dict[str, int]:
    work.runner.module(Path(sys.executable), "slow_tool", str(work.places.app), sys.argv[2])
    return {}


places = Places(Path(sys.argv[1]))
steps = [
    Step("first", "First", "1", count("first"), lambda _: True, 0.0),
    Step("child", "Child", "1", child, lambda _: True, 0.0),
    Step("last", "Last", "1", count("last"), lambda _: True, 0.0),
]
with only_one(places.lock):
    run_steps(places, Plan("cpu", "test", ()), steps, State.load(places.state), Screen())
