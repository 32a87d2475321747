"""A data set from the hub: data files only, never a script; and a clear sentence where it can't be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.base.errors import UserError
from core.base.home import Home
from core.base.jobs import Worker, wait_job
from core.data.read import DATA_ENDINGS, expand, read_rows
from core.models.download import dataset_folder, download, start_download
from tests.unit.hub_server import Hub, Repo

NAME = "owner/chats"
FILES = {
    "README.md": b"# About",
    "chats.py": b"raise SystemExit",
    "dataset_infos.json": b"{}",
    "data/train.jsonl": b'{"question": "a", "answer": "b"}\n',
    "model.pkl": b"\x80\x04",
}


def fetch(home: Home, job: Path) -> Path:
    folder = dataset_folder(home, NAME)
    download(Worker(job), "dataset", NAME, folder, DATA_ENDINGS)
    return folder


def test_only_the_data_comes(hub: Hub, home: Home, tmp_path: Path) -> None:
    hub.datasets[NAME] = Repo(FILES)
    folder = fetch(home, tmp_path / "job")
    assert not list(folder.rglob("*.py")) and not list(folder.rglob("*.pkl"))
    assert [path.name for path in expand([folder])] == ["train.jsonl"]
    assert len(list(read_rows(folder / "data/train.jsonl"))) == 1


def test_a_data_set_that_is_only_a_script_is_refused(hub: Hub, home: Home, tmp_path: Path) -> None:
    hub.datasets[NAME] = Repo({name: FILES[name] for name in ("README.md", "chats.py")})
    with pytest.raises(UserError, match="script, if there is one, is never run"):
        fetch(home, tmp_path / "job")
    assert not dataset_folder(home, NAME).exists()


def test_without_a_hub_the_job_says_so(home: Home) -> None:
    state = wait_job(start_download(home, NAME, "dataset", DATA_ENDINGS), timeout_s=60)
    assert state.status == "failed"
    assert "The hub can't be reached, so owner/chats was not downloaded." in state.message


def test_what_is_no_hub_id_is_refused(home: Home) -> None:
    with pytest.raises(UserError, match="is not a hub id"):
        start_download(home, "../chats", "dataset")
