"""A data set from the hub: data files only, never a script; and a clear sentence where it can't be had."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.dataset.read import expand, read_rows
from core.download import PATTERNS, dataset_folder, download, start_download
from core.errors import UserError
from core.home import Home
from core.jobs import Worker, wait_job

NAME = "owner/chats"
FILES = {
    "README.md": b"# About",
    "chats.py": b"raise SystemExit",
    "dataset_infos.json": b"{}",
    "data/train.jsonl": b'{"question": "a", "answer": "b"}\n',
    "model.pkl": b"\x80\x04",
}


class Hub:
    """Stands in for the hub with the files of one data set."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def repo_info(self, name: str, **options: Any) -> SimpleNamespace:
        assert (name, options["repo_type"]) == (NAME, "dataset")
        siblings = [SimpleNamespace(rfilename=path, size=len(raw)) for path, raw in self.files.items()]
        return SimpleNamespace(siblings=siblings)

    def snapshot_download(
        self, name: str, *, repo_type: str, local_dir: Path, allow_patterns: list[str]
    ) -> None:
        assert (name, repo_type) == (NAME, "dataset")
        for path, raw in self.files.items():
            if any(fnmatch(path, pattern) for pattern in allow_patterns):
                (local_dir / path).parent.mkdir(parents=True, exist_ok=True)
                (local_dir / path).write_bytes(raw)


def fetch(hub: Hub, home: Home, job: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub.snapshot_download)
    folder = dataset_folder(home, NAME)
    download(Worker(job), "dataset", NAME, folder)
    return folder


def test_only_the_data_comes(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fetch(Hub(FILES), home, tmp_path / "job", monkeypatch)
    assert not list(folder.rglob("*.py")) and not list(folder.rglob("*.pkl"))
    assert [path.name for path in expand([folder])] == ["train.jsonl"]
    assert len(list(read_rows(folder / "data/train.jsonl"))) == 1


def test_a_data_set_that_is_only_a_script_is_refused(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="script, if there is one, is never run"):
        fetch(
            Hub({name: FILES[name] for name in ("README.md", "chats.py")}),
            home,
            tmp_path / "job",
            monkeypatch,
        )
    assert not dataset_folder(home, NAME).exists()


def test_no_pattern_lets_a_program_in() -> None:
    for name in ("a.py", "a.pkl", "a.pt", "a.bin", "a.sh", "a.zip", "a.so"):
        assert not any(fnmatch(name, pattern) for patterns in PATTERNS.values() for pattern in patterns)


def test_without_a_hub_the_job_says_so(home: Home) -> None:
    state = wait_job(start_download(home, NAME, "dataset"), timeout_s=60)
    assert state.status == "failed"
    assert "The hub can't be reached, so owner/chats was not downloaded." in state.message


def test_what_is_no_hub_id_is_refused(home: Home) -> None:
    with pytest.raises(UserError, match="is not a hub id"):
        start_download(home, "../chats", "dataset")
