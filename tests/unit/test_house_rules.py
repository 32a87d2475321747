"""The rules of the house: who may import whom, and what is loaded only in worker processes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests import house
from tests.house import ROOT, name

HEAVY = {"torch", "transformers", "unsloth", "unsloth_zoo", "trl", "peft", "llama_cpp", "bitsandbytes"}
WORKER_ROOMS = ("core/train", "core/export", "core/chat")
SOURCES = house.sources()


def packages(path: Path, top_level_only: bool = False) -> set[str]:
    return {module.split(".")[0] for module in house.imported(path, top_level_only)}


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_rooms(path: Path) -> None:
    roots = packages(path)
    if name(path).startswith("core/"):
        assert not roots & {"gradio", "ui", "app"}, "core knows no screen"
    if name(path).startswith("ui/"):
        assert "app" not in roots
        assert not roots & HEAVY, "the page never loads the heavy libraries"
    if not name(path).startswith(WORKER_ROOMS):
        assert not packages(path, top_level_only=True) & HEAVY, "heavy libraries belong to the worker rooms"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_file_says_first_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(house.tree(path)), "a module needs a first line"


def test_only_one_file_knows_unsloth() -> None:
    knowing = [name(path) for path in SOURCES if packages(path) & {"unsloth", "unsloth_zoo"}]
    assert knowing == ["core/train/unsloth.py"]


def test_every_room_stands_on_a_floor_and_imports_only_from_below() -> None:
    assert {house.room(path) for path in SOURCES} - {"core"} <= house.FLOOR.keys()
    assert house.upward() == []


def test_the_app_and_the_commands_load_nothing_heavy() -> None:
    """Imported for real: what the app's own process has loaded before any worker runs."""
    code = (
        "import sys, core.commands.dispatch, core.runs.run, core.models, core.presets, ui.server;"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
