"""How a followed job ends decides the exit code: only one that is done counts as done."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.base.errors import UserError, WorkerFailed
from core.base.home import APP_FOLDER, Home
from core.base.jobs import JobState
from core.commands import dispatch as commands
from core.commands.follow import raise_unless_done


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
    def crash(home: Home, args: argparse.Namespace) -> None:
        (home.root / "commands.log").mkdir()
        raise ValueError("a mistake of ours")

    monkeypatch.setattr("core.commands.fit.fit", crash)
    args = argparse.Namespace(command="fit", home=tmp_path / "home", json=True)
    assert commands.run(args) == 1
    said = capsys.readouterr()
    assert "a mistake of ours" in json.loads(said.out)["error"]
    assert "Traceback" in said.err and "can't be written either" in said.err


def test_done_is_no_error(tmp_path: Path) -> None:
    raise_unless_done(JobState("done"), tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="a pipe without a reader is another error there")
def test_a_reader_that_has_enough_is_no_crash(tmp_path: Path) -> None:
    """`python app.py fit … | head -1`."""
    code = f"""
import argparse, sys
from core import commands
def speak(home, args):
    sys.stdin.readline()
    print("x" * 1_000_000)
    return {{}}
commands.COMMANDS["fit"] = ("__main__", "speak")
sys.exit(commands.run(argparse.Namespace(command="fit", home={str(tmp_path)!r}, json=False)))
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
