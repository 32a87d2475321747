"""Places that a person types: folders with too much below them, disks that hang, what may not be read."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from core.base import home as homes
from core.base import looks
from core.base.errors import UserError
from core.base.home import Home, typed_path
from core.base.looks import kind_of, look
from core.data.check import Question, read_check
from core.data.read import expand, folder, list_again
from core.data.sight import first_rows
from tests.ui_page import act, edit, recipe, shown
from tests.unit.datasets import pairs, write_rows
from ui.bench import Bench
from ui.step import steps

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="named pipes, modes and links without rights")


def filled(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    return root


def listed(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in folder.files_below(root)]


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """No folder answers until the event is set."""
    go_on = threading.Event()
    scandir = os.scandir

    def waiting(path: str | Path) -> object:
        go_on.wait()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", waiting)
    monkeypatch.setattr(looks, "PATIENCE_S", 0.2)
    yield go_on
    go_on.set()


# ----- limits


def test_a_listing_is_sorted_and_enters_nothing_hidden(tmp_path: Path) -> None:
    root = filled(tmp_path, "b.csv", "a/z.csv", "a.csv", ".git/x.csv", "__MACOSX/y.csv", "lost+found/w.csv")
    assert listed(root) == ["a/z.csv", "a.csv", "b.csv"]


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("MOST", 5, "holds more than 5 files and folders"),
        ("DEEPEST", 1, "goes more than 1 folders deep"),
        ("SECONDS", -1.0, "could not be listed within"),
    ],
)
def test_what_is_too_much_is_a_sentence_and_not_listed_again_unasked(
    limit: str, value: float, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = filled(tmp_path, "a/b/c/d.csv", "e.csv", "f.csv", "g.csv")
    with monkeypatch.context() as small:
        small.setattr(folder, limit, value)
        with pytest.raises(UserError, match=f"{said}.*Choose a folder with less below it"):
            expand([root])
    with pytest.raises(UserError, match=said):
        expand([root])
    list_again(root)
    assert len(expand([root])) == 4


def test_what_took_a_while_is_remembered_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(folder.time, "monotonic", lambda: clock[0])
    files = folder._Walk.files

    def slow(*args: object) -> Iterator[Path]:
        clock[0] += 0.1
        return files(*args)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(folder._Walk, "files", slow)
    root = filled(tmp_path, "a.csv")
    assert listed(root) == ["a.csv"]
    filled(root, "b.csv")
    assert listed(root) == ["a.csv"]
    clock[0] += 2.1
    assert listed(root) == ["a.csv", "b.csv"]


@POSIX
def test_circles_pipes_devices_and_dead_links_are_neither_waited_for_nor_listed(tmp_path: Path) -> None:
    root = filled(tmp_path, "sub/a.csv")
    os.mkfifo(root / "pipe.csv")
    (root / "sub/up").symlink_to(root)
    (root / "itself.csv").symlink_to(root / "itself.csv")
    (root / "dead.csv").symlink_to(root / "none.csv")
    (root / "zero.csv").symlink_to("/dev/zero")
    (root / "alias.csv").symlink_to(root / "sub/a.csv")
    assert listed(root) == ["alias.csv", "sub/a.csv"]
    for name in ("pipe.csv", "zero.csv"):
        assert "is no file on disk" in first_rows(root / name).problem
    with pytest.raises(UserError, match="itself.csv can't be read: it is a link that leads to itself"):
        expand([root / "itself.csv"])


def test_a_part_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = filled(tmp_path, "a.csv", "closed/b.csv")
    scandir = os.scandir

    def guarded(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    with monkeypatch.context() as few_rights:
        few_rights.setattr(os, "scandir", guarded)
        with pytest.raises(UserError, match=r"closed can't be read: permission was denied\."):
            expand([root])
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match="can't be read: permission was denied. Check the path"):
        expand([root])


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_a_name_that_can_be_none_is_a_sentence(name: str, bench: Bench) -> None:
    with pytest.raises(UserError, match="can't be read"):
        expand([Path(name)])
    edit(bench, "data", "path", name)
    assert "This data can’t be read" in shown(bench, "data-state")
    edit(bench, "model", "folder", name)
    assert "can't be read" in unescape(shown(bench, "model-panel"))


def test_a_home_of_nobody_is_a_sentence() -> None:
    with pytest.raises(UserError, match="“~no-such-user/a” begins with a user who has no home here"):
        typed_path("~no-such-user/a")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's own views of the system")
@pytest.mark.parametrize("name", ["/", "/proc", "/sys", "/dev", "/proc/self"])
def test_the_whole_system_is_a_sentence_in_a_moment(name: str) -> None:
    began = time.monotonic()
    with pytest.raises(UserError, match=r"\.$"):
        expand([Path(name)])
    assert time.monotonic() - began < folder.SECONDS + looks.PATIENCE_S


# ----- disks that hang


def test_a_disk_that_hangs_is_given_up_once_and_asked_again_when_it_is_back(
    tmp_path: Path, hang: threading.Event
) -> None:
    root = filled(tmp_path, "a.csv")
    with pytest.raises(UserError, match="doesn't answer in time: its disk is slow or gone"):
        expand([root])
    began = time.monotonic()
    threads = threading.active_count()
    for _ in range(20):
        with pytest.raises(UserError, match="doesn't answer"):
            expand([root])
    assert time.monotonic() - began < 0.2 and threading.active_count() == threads
    hang.set()
    deadline = time.monotonic() + 10
    while looks._hanging and time.monotonic() < deadline:
        time.sleep(0.01)
    assert kind_of(root) == "folder"
    assert len(expand([root])) == 1


def test_an_error_of_a_look_is_its_own(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        look(tmp_path, lambda: 1 / 0)
    assert look(tmp_path, lambda: 3) == 3


def test_held_out_data_that_hangs_does_not_hold_up_the_rest(
    home: Home, tmp_path: Path, hang: threading.Event
) -> None:
    data = write_rows(tmp_path / "data.jsonl", pairs(4))
    (tmp_path / "held").mkdir()
    question = Question([data], heldout=[tmp_path / "held"])
    assert read_check(home, question).missing
    began = time.monotonic()
    assert read_check(home, question).missing
    assert time.monotonic() - began < 0.2


def test_a_model_folder_that_hangs_closes_its_own_step_only(
    bench: Bench, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    go_on = threading.Event()
    kind = looks._kind_of

    def waiting(path: Path) -> object:
        return go_on.wait() if path == model else kind(path)

    monkeypatch.setattr(looks, "_kind_of", waiting)
    monkeypatch.setattr(looks, "PATIENCE_S", 0.2)
    edit(bench, "model", "folder", str(model))
    assert "doesn't answer in time" in unescape(shown(bench, "model-panel"))
    began = time.monotonic()
    page = "".join(shown(bench, *step.parts) for step in steps())
    assert time.monotonic() - began < 5
    assert "Recognised: a chat in every row" in page
    with pytest.raises(UserError, match="doesn't answer"):
        act(bench, "train", "start")
    go_on.set()


# ----- on the page


def test_look_again_lists_the_chosen_folder_once_more(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(filled(tmp_path / "set", "data.jsonl") / "data.jsonl", pairs(30))
    with monkeypatch.context() as small:
        small.setattr(folder, "MOST", 0)
        edit(bench, "data", "path", str(tmp_path / "set"))
        assert "holds more than 0 files" in shown(bench, "data-state")
    assert 'id="data-look-again"' in shown(bench, "data-state")
    with pytest.raises(UserError, match="holds more than 0 files"):
        recipe(bench)
    act(bench, "data", "check")
    assert "can be used" in shown(bench, "data-state")


def test_a_home_folder_that_hangs_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(homes, "_HOME_S", 0.2)
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: go_on.wait())
    with pytest.raises(UserError, match="far doesn't answer in time"):
        homes.open_home(tmp_path / "far")
    go_on.set()
