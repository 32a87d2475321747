"""Set-up's histories: interrupted at every step, killed, failing, started twice, with changed inputs."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import psutil
import pytest

from core.base.errors import UserError, WorkerFailed
from core.base.home import APP_FOLDER
from core.base.process import ChildFailed
from core.setup.plan import InstallPlan
from core.setup.prepare import SetupStep, check_room, prepare, run_steps, settle_plan, wanted_steps
from core.setup.state import Places, State, fingerprint, only_one, ready
from core.setup.work import Screen, Work
from tests.unit.set_up import PLAN, work_in
from tests.waiting import wait_until


class Killed(BaseException):
    """Stands for the process going away in the middle of a step."""


class History:
    """Tiny steps that note their runs and can be told to fail or die."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.ran: list[str] = []
        self.trouble: dict[str, BaseException] = {}
        self.inputs = {"a": "1", "b": "1", "c": "1"}

    def run(self, name: str, work: Work) -> dict[str, str]:
        self.ran.append(name)
        if name in self.trouble:
            raise self.trouble.pop(name)
        return {"by": name}

    def go(self) -> str:
        out = io.StringIO()
        steps = [SetupStep(name, name.upper(), i, partial(self.run, name)) for name, i in self.inputs.items()]
        run_steps(self.places, PLAN, steps, State.load(self.places.state), Screen(out))
        return out.getvalue()


@pytest.fixture
def history(tmp_path: Path) -> History:
    places = Places(tmp_path)
    places.garage.mkdir()
    return History(places)


def test_runs_in_order_once_and_again_what_changed(history: History):
    assert "[2/3] B" in history.go()
    history.go()
    assert history.ran == ["a", "b", "c"]
    values = json.loads(history.places.state.read_text())
    assert values["steps"]["b"]["details"] == {"by": "b"}
    assert values["steps"]["b"]["finished"].endswith("+00:00")
    history.inputs["b"] = "2"
    history.go()
    assert history.ran == ["a", "b", "c", "b"]


@pytest.mark.parametrize("where", ["a", "b", "c"])
def test_goes_on_where_it_was_interrupted(history: History, where: str):
    history.trouble[where] = Killed()
    with pytest.raises(Killed):
        history.go()
    assert State.load(history.places.state).begun == where
    history.go()
    assert history.ran == sorted(["a", "b", "c", where])
    assert State.load(history.places.state).begun is None


def test_a_failure_names_step_line_and_advice(history: History):
    output = ["Collecting x", "ERROR: Could not install: [Errno 28] No space left on device", "[notice] pip"]
    history.trouble["b"] = ChildFailed(1, output)
    with pytest.raises(WorkerFailed) as failed:
        history.go()
    sentence = str(failed.value)
    assert "step 2 of 3 (B): ERROR: Could not install: [Errno 28] No space left on device" in sentence
    assert "The disk is full" in sentence
    assert failed.value.log == history.places.log
    history.go()
    assert history.ran == ["a", "b", "b", "c"]


@pytest.mark.parametrize("damage", [b"", b"{half", b"[1]", b'{"format": 99}'])
def test_a_damaged_state_file_means_starting_over(history: History, damage: bytes):
    history.go()
    history.places.state.write_bytes(damage)
    history.go()
    assert history.ran == ["a", "b", "c"] * 2


def test_killed_for_real_and_continued(tmp_path: Path):
    """kill -9 of set-up while its child works: the child ends too, and the next set-up goes on there."""
    command = [sys.executable, "-m", "tests.unit.setup_history", str(tmp_path)]
    setup = subprocess.Popen([*command, "60"], cwd=APP_FOLDER, stdout=subprocess.PIPE)
    wait_until(lambda: (tmp_path / "began").exists())
    children = psutil.Process(setup.pid).children(recursive=True)
    second = subprocess.run([*command, "0"], cwd=APP_FOLDER, capture_output=True, text=True)
    assert f"Another set-up of this folder is running (process {setup.pid})" in second.stderr
    setup.kill()
    setup.communicate()
    wait_until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children))
    assert not (tmp_path / "ended").exists()
    subprocess.run([*command, "0"], cwd=APP_FOLDER, check=True, capture_output=True)
    assert (tmp_path / "first").read_text().count("ran") == 1
    assert (tmp_path / "began").read_text().count("began") == 2
    assert (tmp_path / "ended").exists()
    assert (tmp_path / "last").exists()


def test_two_at_once_are_refused_with_a_sentence(tmp_path: Path):
    lock = tmp_path / "setup.lock"
    refused = pytest.raises(UserError, match=f"process {os.getpid()}")
    with only_one(lock), refused, only_one(lock):
        pass
    with only_one(lock):
        pass


def test_a_folder_that_can_not_be_written_is_a_sentence(tmp_path: Path):
    (tmp_path / ".garage").write_text("a file where a folder should be")
    with pytest.raises(WorkerFailed, match=f"Set-up can't work in {re.escape(str(tmp_path))}"):
        prepare(Places(tmp_path))


def test_room_is_checked_before_anything_starts(history: History):
    needs = SetupStep("big", "Big", "1", lambda work: {}, gigabytes=1e9)
    with pytest.raises(UserError, match=r"needs about 1000000000\.0 GB .* GB are free"):
        check_room(history.places, [needs])


def test_a_temporary_lack_of_the_gpu_keeps_the_gpu_environment(tmp_path: Path):
    state = State(tmp_path / "setup.json", {"plan": asdict(InstallPlan("cu126", "RTX", ("cu124", "cpu")))})
    assert settle_plan(state, PLAN, again=False).torch == "cu126"
    assert settle_plan(state, PLAN, again=True).torch == "cpu"


def finished(places: Places) -> State:
    """The state and the files of a finished set-up of today's requirement files."""
    places.requirements("locked").parent.mkdir(parents=True)
    places.requirements("locked").write_text("a==1")
    for path in (places.python, places.venv_id, places.converter / "convert_hf_to_gguf.py", places.starter):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    state = State(places.state, {"plan": asdict(PLAN)})
    for step in wanted_steps(places, PLAN, test=False):
        state.finish(step.name, step.fingerprint, 1.0, {})
    state.mark_ready(places, test=False)
    return state


def test_ready_only_with_a_mark_for_today_s_files(tmp_path: Path):
    places = Places(tmp_path)
    assert not ready(places)
    state = finished(places)
    assert ready(places) and not ready(places, test=True)
    places.requirements("locked").write_text("a==2")
    assert not ready(places)
    state.mark_ready(places, test=True)
    assert ready(places, test=True)
    state.begin("torch")
    assert not ready(places), "a step under way takes the mark away"


@pytest.mark.parametrize("gone", ["python", "venv_id", "starter", "converter"])
def test_not_ready_when_files_are_gone(tmp_path: Path, gone: str):
    places = Places(tmp_path)
    state = finished(places)
    path = getattr(places, gone)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not ready(places)
    assert [step.name for step in wanted_steps(places, PLAN, False) if not step.done(state)]


def test_fingerprints_tell_inputs_apart(tmp_path: Path):
    file = tmp_path / "f"
    file.write_text("x")
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint(file) == fingerprint("x")
    assert fingerprint(file) != fingerprint(tmp_path / "missing")


def test_a_child_that_can_not_start_and_one_that_fails(tmp_path: Path):
    work = work_in(tmp_path)
    with pytest.raises(ChildFailed):
        work.run([str(tmp_path / "no-such-tool")])
    with pytest.raises(ChildFailed) as failed:
        work.run([sys.executable, "-c", "print('reason'); raise SystemExit(3)"])
    assert (failed.value.code, failed.value.output[0]) == (3, "reason")
    assert "reason" in work.places.log.read_text()


def test_settings_that_move_pip_elsewhere_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "https://kept.invalid/simple")
    show = "import os; print(os.environ.get('PIP_TARGET'), os.environ['PIP_INDEX_URL'])"
    assert work_in(tmp_path).run([sys.executable, "-c", show]) == ["None https://kept.invalid/simple"]
