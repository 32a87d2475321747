"""The front door: standard library only, clear words on a wrong command line, arguments as documented."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import app
from core.base.home import CONVERTER, STARTER_GGUF
from core.setup.state import Places

ROOT = Path(__file__).resolve().parent.parent.parent


def test_needs_only_the_standard_library():
    """Imported without any site-packages, app.py and all of set-up load nothing but Python's own modules."""
    code = (
        "import sys, pkgutil, importlib; sys.path.insert(0, sys.argv[1]); import app, core.setup\n"
        "for module in pkgutil.iter_modules(core.setup.__path__):\n"
        "    importlib.import_module('core.setup.' + module.name)\n"
        "known = sys.stdlib_module_names | {'app', 'core', '__main__', '__mp_main__'}\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - known))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(ROOT)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_version_check_comes_before_today_s_syntax():
    """An old Python parses app.py and reaches its sentence before any import of ours."""
    tree = ast.parse((ROOT / "app.py").read_text(encoding="utf-8"), feature_version=(3, 7))
    kinds = [type(node).__name__ for node in tree.body[:3]]
    assert kinds == ["Expr", "Import", "If"]


def test_places_agree_with_the_home_module():
    assert Places().converter == CONVERTER
    assert Places().starter == STARTER_GGUF


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ([], {"command": "serve", "home": None, "port": None, "no_browser": False}),
        (["--no-browser", "--port", "7861"], {"command": "serve", "port": 7861, "no_browser": True}),
        (["serve", "--home", "x"], {"command": "serve", "home": "x"}),
        (["--home", "x", "serve"], {"command": "serve", "home": "x"}),
        (["--home", "x", "demo"], {"command": "demo", "home": "x", "rest": []}),
        (["train", "r.yaml", "--home", "x"], {"command": "train", "rest": ["r.yaml", "--home", "x"]}),
        (["doctor", "--json"], {"command": "doctor", "json": True}),
        (["test", "--fast"], {"command": "test", "fast": True, "rest": []}),
        (
            ["test", "--fast", "-k", "merge", "tests/unit"],
            {"fast": True, "rest": ["-k", "merge", "tests/unit"]},
        ),
    ],
)
def test_command_lines(line: list[str], values: dict[str, object]):
    args = app.parse(line)
    assert {name: getattr(args, name) for name in values} == values


def run_app(*line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(ROOT / "app.py"), *line], capture_output=True, text=True)


def test_wrong_arguments_are_the_user_s_error():
    done = run_app("doctor", "--jsn")
    assert done.returncode == 2
    assert "--jsn" in done.stderr


def test_doctor_prints_one_json_object():
    done = run_app("doctor", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["hardware"]["cores"] >= 1


def test_every_command_is_listed_before_anything_is_installed():
    done = subprocess.run(
        [sys.executable, "-S", str(ROOT / "app.py"), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(name in done.stdout and text in done.stdout for name, text in app.every_command().items())


def test_a_command_that_does_not_exist_is_refused_before_set_up():
    done = run_app("tain", "recipe.yaml")
    assert done.returncode == 2 and "'tain'" in done.stderr
