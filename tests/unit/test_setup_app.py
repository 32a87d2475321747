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
from core.data.shapes import ROLES_OF_COLUMNS
from core.export.quants import QUANTS
from core.setup.places import Places

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
        ([], {"command": None, "home": None, "port": None, "no_browser": False}),
        (["--no-browser", "--port", "7861"], {"command": None, "port": 7861, "no_browser": True}),
        (["serve", "--home", "x"], {"command": "serve", "home": "x"}),
        (["demo", "--json"], {"command": "demo", "json": True, "home": None}),
        (["--home", "x", "demo"], {"command": "demo", "home": "x", "json": False}),
        (["train", "r.yaml", "--home", "x"], {"recipe": "r.yaml", "home": "x"}),
        (["export", "run", "--quant", "Q8_0"], {"run": "run", "quant": "Q8_0"}),
        (["chat", "run", "--prompt", "hi"], {"target": "run", "prompt": "hi", "system": None}),
        (["chat", "f.gguf", "--prompt", "hi", "--max-tokens", "9"], {"max_tokens": 9, "temperature": 0.7}),
        (["doctor", "--json"], {"command": "doctor", "json": True}),
        (["test", "--fast"], {"command": "test", "fast": True}),
    ],
)
def test_command_lines(line: list[str], values: dict[str, object]):
    args, rest = app.parser().parse_known_args(line)
    assert rest == []
    assert {name: getattr(args, name) for name in values} == values


def test_what_test_does_not_know_goes_to_pytest():
    args, rest = app.parser().parse_known_args(["test", "--fast", "-k", "merge", "tests/unit"])
    assert (args.fast, rest) == (True, ["-k", "merge", "tests/unit"])


def run_app(*line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(ROOT / "app.py"), *line], capture_output=True, text=True)


def test_wrong_arguments_are_the_user_s_error():
    done = run_app("demo", "--jsn")
    assert done.returncode == 2
    assert "--jsn" in done.stderr


def test_doctor_prints_one_json_object():
    done = run_app("doctor", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["machine"]["system"] in ("linux", "windows", "macos")


@pytest.mark.parametrize(("command", "names"), [("export", QUANTS), ("check-data", ROLES_OF_COLUMNS)])
def test_help_names_every_choice(command: str, names: dict[str, object], capsys: pytest.CaptureFixture[str]):
    """app.py can't read them from where they are kept: that needs more than the standard library."""
    with pytest.raises(SystemExit):
        app.parser().parse_args([command, "--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in names)
