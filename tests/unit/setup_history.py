"""Runs three tiny set-up steps in the folder `argv[1]`; the middle one is a child that takes `argv[2]` s."""

import sys
from pathlib import Path

from core.setup.plan import InstallPlan
from core.setup.prepare import SetupStep, run_steps
from core.setup.state import Places, State, only_one
from core.setup.work import Screen, Work


def count(name: str):
    def run(work: Work) -> dict[str, int]:
        with open(work.places.app / name, "a", encoding="utf-8") as file:
            file.write("ran\n")
        return {}

    return run


def child(work: Work) -> dict[str, int]:
    work.module(Path(sys.executable), "tests.unit.child_process", "work", str(work.places.app), sys.argv[2])
    return {}


places = Places(Path(sys.argv[1]))
steps = [
    SetupStep("first", "First", "1", count("first")),
    SetupStep("child", "Child", "1", child),
    SetupStep("last", "Last", "1", count("last")),
]
with only_one(places.lock):
    run_steps(places, InstallPlan("cpu", "test", ()), steps, State.load(places.state), Screen())
