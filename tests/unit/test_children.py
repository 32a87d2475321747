"""Child processes: watched to their end, stopped on request, gone with their parent, and their last words."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from core.base.errors import Stopped
from core.base.home import APP_FOLDER
from core.base.process import ChildFailed, death, run_child, telling_line
from tests.waiting import wait_until

CHILD = "tests.unit.child_process"


def test_lines_reach_the_listener_and_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    heard: list[str] = []

    def listen(line: str) -> bool:
        heard.append(line)
        return line.endswith("%")

    run_child(CHILD, ["talk"], listen, lambda: None)
    assert heard == ["begin", "10%", "20%", "end"]
    assert capfd.readouterr().out.split() == ["begin", "end"]


def test_failure_carries_the_telling_line() -> None:
    with pytest.raises(ChildFailed) as caught:
        run_child(CHILD, ["fail"], lambda line: False, lambda: None)
    assert caught.value.code == 7
    assert caught.value.line == "ValueError: Model FooForCausalLM is not supported"


def test_stop() -> None:
    before = set(psutil.Process().children())
    began = time.monotonic()
    with pytest.raises(Stopped):
        run_child(CHILD, ["sleep"], lambda line: False, lambda: time.monotonic() - began > 1)
    assert time.monotonic() - began < 8
    left = set(psutil.Process().children()) - before
    assert not [child for child in left if child.status() != psutil.STATUS_ZOMBIE]


def test_a_child_goes_with_its_parent(tmp_path: Path) -> None:
    """The parent is killed without a chance to tidy up; its child ends by itself."""
    note = tmp_path / "pid"
    call = f"run_child({CHILD!r}, ['sleep', {str(note)!r}], print, lambda: None)"
    code = f"from core.base.process import run_child; {call}"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=APP_FOLDER, stdout=subprocess.DEVNULL)
    wait_until(lambda: note.is_file() and note.read_text())
    child = psutil.Process(int(note.read_text()))
    parent.kill()
    parent.wait()
    child.wait(timeout=10)


def test_telling_line() -> None:
    log = (
        "loading\nllama_model_load: error loading model: tensor data is not within the file bounds\nexiting\n"
    )
    assert telling_line(log).startswith("llama_model_load: error loading model")
    assert telling_line("one\ntwo\n\n") == "two"
    assert telling_line("") == "it said nothing"
    assert telling_line("x " * 500) == ("x " * 150)


def test_death_in_words() -> None:
    assert "memory" in death(-9)
    assert death(-6) == "gave up (abort)"
    assert death(5) == "ended with code 5"
