"""Atomic writes, and paths that stay in their folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.base import files
from core.base.errors import UserError


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
