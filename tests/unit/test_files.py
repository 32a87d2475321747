"""Files and folders old or new, never half; troubles of the disk in words; paths that stay inside."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from core.base import files
from core.base.errors import UserError, disk_sentence, disk_trouble, is_disk_trouble, is_out_of_memory


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "state.json"
    files.write_json(target, {"step": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_json(target, {"step": 2})
    assert files.read_json(target) == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def folder_with(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "part").write_text(text)
    return path


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "adapter"
    for text in ("first", "second"):
        with files.replacement(target) as path:
            folder_with(path, text)
        assert (target / "part").read_text() == text
    with pytest.raises(ZeroDivisionError), files.replacement(target) as path:
        folder_with(path, "half")
        raise ZeroDivisionError
    assert (target / "part").read_text() == "second"
    assert list(tmp_path.iterdir()) == [target]


def test_what_another_process_made_meanwhile_is_kept_where_it_is_as_good(tmp_path: Path) -> None:
    target = tmp_path / "starter"
    for good, left in ((True, "theirs"), (False, "ours")):
        with files.replacement(target, keep=lambda path, good=good: good) as path:
            folder_with(path, "ours")
            if not target.exists():
                folder_with(target, "theirs")
        assert (target / "part").read_text() == left
    assert list(tmp_path.iterdir()) == [target]


def test_only_the_dead_ones_temporary_files_are_swept(tmp_path: Path) -> None:
    mine = [files.aside(tmp_path / "model.gguf") for _ in "ab"]
    for path in mine:
        path.write_text("half")
    # of a process before, which had our number
    (tmp_path / f".model.gguf.pid{os.getpid()}.aside").write_text("half")
    (tmp_path / f".model.gguf.pid{os.getppid()}.aside").write_text("another's")
    folder_with(tmp_path / ".merged.pid999999999.aside", "half")
    (tmp_path / "model.gguf").write_text("whole")
    files.sweep(tmp_path)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([f".model.gguf.pid{os.getppid()}.aside", "model.gguf", *(one.name for one in mine)])
    files.sweep(tmp_path / "not there")


def test_missing_gives_the_default_and_damaged_says_so(tmp_path: Path) -> None:
    assert files.read_json(tmp_path / "none.json", 7) == 7
    (tmp_path / "bad.json").write_text('{"a": ')
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for name in ("bad.json", "deep.json"):
        with pytest.raises(UserError, match=f"{name} is damaged"):
            files.read_json(tmp_path / name)


@pytest.mark.parametrize("path", ["../out", "a/../../out", "/etc/passwd"])
def test_inside_refuses_what_leaves_the_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(UserError, match="outside"):
        files.inside(tmp_path, path)


def test_inside_follows_links_before_it_judges(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    try:
        (folder / "link").symlink_to(tmp_path)
    except OSError:
        pytest.skip("this system allows no symbolic links")
    assert files.inside(folder, "a/b") == (folder / "a" / "b").resolve()
    with pytest.raises(UserError):
        files.inside(folder, "link/elsewhere")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), "the disk is full. Free some space, then go on."),
        (
            RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
            "is full",
        ),
        (PermissionError(13, "Permission denied"), "permission was denied. Close programs"),
        (OSError(30, "Read-only file system"), "the disk is read-only. Choose another folder, then go on."),
        (OSError(9, "Bad file descriptor"), "Bad file descriptor. Look at"),
    ],
)
def test_troubles_with_files_are_sentences(tmp_path: Path, error: Exception, words: str) -> None:
    sentence = disk_sentence(error, "It could not be written", tmp_path, "go on")
    assert sentence.startswith(f"It could not be written to {tmp_path}: ") and words in sentence
    assert is_disk_trouble(error)


def test_an_error_that_hides_its_reason_is_asked_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = RuntimeError("[enforce fail at inline_container.cc:626] . unexpected pos 41408 vs 41296")
    assert is_disk_trouble(error) and disk_trouble(error, tmp_path) is None
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9 << 30, 9 << 30, 1 << 20))
    assert "the disk is full" in disk_sentence(error, "It could not be written", tmp_path / "not" / "yet")
    assert not is_disk_trouble(ValueError("x"))


def test_out_of_memory_has_many_names() -> None:
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(RuntimeError("CUDA out of memory. Tried"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not is_out_of_memory(OSError(28, "No space left on device"))
