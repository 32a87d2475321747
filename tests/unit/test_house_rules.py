"""The rules of the house: who may import whom, and what is loaded only in worker processes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "transformers", "unsloth", "unsloth_zoo", "trl", "peft", "llama_cpp", "bitsandbytes"}
WORKER_ROOMS = ("core/train", "core/export", "core/chat")
SOURCES = sorted([ROOT / "app.py", *ROOT.glob("core/**/*.py"), *ROOT.glob("ui/**/*.py")])


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Names of the modules that a file imports; `top_level_only` leaves out those inside functions."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_rooms(path: Path) -> None:
    roots = {module.split(".")[0] for module in imports(path)}
    if name(path).startswith("core/"):
        assert not roots & {"gradio", "ui", "app"}, "core knows no screen"
    if name(path).startswith("ui/"):
        assert "app" not in roots
        assert not roots & HEAVY, "the page never loads the heavy libraries"
    if not name(path).startswith(WORKER_ROOMS):
        at_import = {module.split(".")[0] for module in imports(path, top_level_only=True)}
        assert not at_import & HEAVY, "heavy libraries belong to the worker rooms"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_file_says_first_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), "a module needs a first line"


def test_only_one_file_knows_unsloth() -> None:
    knowing = [
        name(path)
        for path in SOURCES
        if {m.split(".")[0] for m in imports(path)} & {"unsloth", "unsloth_zoo"}
    ]
    assert knowing == ["core/train/unsloth_engine.py"]


def test_no_circles_in_core() -> None:
    """Imports at module level form no circle."""
    edges = {}
    for path in ROOT.glob("core/**/*.py"):
        module = name(path)[:-3].replace("/", ".").removesuffix(".__init__")
        edges[module] = {found for found in imports(path, top_level_only=True) if found.startswith("core.")}

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module in done:
            return
        for target in edges.get(module, ()):
            visit(target, (*trail, module))
        done.add(module)

    done: set[str] = set()
    for module in edges:
        visit(module, ())


def test_the_app_and_the_commands_load_nothing_heavy() -> None:
    """Imported for real: what the app's own process has loaded before any worker runs."""
    code = (
        "import sys, core.commands.dispatch, core.runs.run, core.models, core.presets, ui.server;"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
