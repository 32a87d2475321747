"""How a followed job ends decides the exit code: only one that is done counts as done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.base.errors import UserError, WorkerFailed
from core.base.home import APP_FOLDER, Home
from core.base.jobs import JobState
from core.commands import dispatch
from core.commands.follow import raise_unless_done
from core.commands.train import checked_run
from core.data.shapes import ROLES_OF_COLUMNS
from core.export.forms import forms
from core.recipe import Recipe
from core.runs.run import list_runs


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (JobState("stopped", "Stopped at step 3."), UserError),
        (JobState("running"), UserError),
        (JobState("failed", "No answer.", fields={"error": "UserError"}), UserError),
        (JobState("failed", "A crash.", fields={"error": "KeyError"}), WorkerFailed),
        (JobState("died", "Gone."), WorkerFailed),
    ],
)
def test_what_is_not_done_is_an_error(state: JobState, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        raise_unless_done(state, tmp_path)


def test_a_crash_without_a_place_for_its_log_still_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(home: Home, args: object) -> None:
        (home.root / "commands.log").mkdir()
        raise ValueError("a mistake of ours")

    monkeypatch.setattr("core.commands.demo.run", crash)
    assert dispatch.run("demo", ["--json"], str(tmp_path / "home")) == 1
    said = capsys.readouterr()
    assert "a mistake of ours" in json.loads(said.out)["error"]
    assert "Traceback" in said.err and "can't be written either" in said.err


def test_done_is_no_error(tmp_path: Path) -> None:
    raise_unless_done(JobState("done"), tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="a pipe without a reader is another error there")
def test_a_reader_that_has_enough_is_no_crash(tmp_path: Path) -> None:
    """`python app.py fit … | head -1`."""
    code = f"""
import sys
from core.commands import demo, dispatch
def speak(home, args):
    sys.stdin.readline()
    print("x" * 1_000_000)
    return {{}}
demo.run = speak
sys.exit(dispatch.run("demo", [], {str(tmp_path)!r}))
"""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, cwd=APP_FOLDER
    ) as job:
        assert job.stdin and job.stdout and job.stderr
        job.stdout.close()
        job.stdin.write(b"\n")
        job.stdin.close()
        assert job.stderr.read() == b"" and job.wait() == 0


@pytest.mark.parametrize(
    ("command", "line", "values"),
    [
        ("train", ["r.yaml"], {"recipe": "r.yaml", "home": "x", "json": False}),
        ("train", ["r.yaml", "--home", "y"], {"home": "y"}),
        ("export", ["run", "--quant", "Q8_0"], {"run": "run", "quant": "Q8_0"}),
        ("chat", ["run", "--prompt", "hi"], {"target": "run", "prompt": "hi", "system": None}),
        ("chat", ["f.gguf", "--prompt", "hi", "--max-tokens", "9"], {"max_tokens": 9, "temperature": 0.7}),
    ],
)
def test_command_lines(command: str, line: list[str], values: dict[str, object]) -> None:
    args = dispatch.arguments(command, line, home="x")
    assert {name: getattr(args, name) for name in values} == values


@pytest.mark.parametrize(
    ("command", "names"), [("export", [form.name for form in forms()]), ("check-data", ROLES_OF_COLUMNS)]
)
def test_help_names_every_choice(
    command: str, names: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        dispatch.run(command, ["--help"])
    output = capsys.readouterr().out
    assert names and all(name in output for name in names)


def test_a_recipe_that_cannot_be_trained_is_refused_before_there_is_a_run(home: Home) -> None:
    with pytest.raises(UserError, match="DoRA can be estimated, but not trained yet"):
        checked_run(home, Recipe(method="dora"))
    assert list_runs(home) == []
