"""Fixtures that several unit tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.base.home import STARTER_GGUF, Home
from core.data import ChatTokenizer
from core.models.gguf_header import read_header
from core.models.starter import write_tokenizer
from tests.ui_page import check_here
from tests.unit.chat_models import FAMILIES, write_model
from tests.unit.hub_server import Hub, hub_server
from ui.bench import Bench


@pytest.fixture(scope="session")
def starter_tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the starter's real tokenizer and chat template, without its weights. Read only."""
    folder = tmp_path_factory.mktemp("starter-tokenizer")
    write_tokenizer(read_header(STARTER_GGUF, arrays=True), folder)
    return folder


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Family name → folder of a toy model. Read only."""
    root = tmp_path_factory.mktemp("toys")
    return {name: write_model(root / name, family) for name, family in FAMILIES.items()}


@pytest.fixture(scope="session")
def toy_tokenizers(toys: dict[str, Path]) -> dict[str, ChatTokenizer]:
    return {name: ChatTokenizer.load(folder) for name, folder in toys.items()}


@pytest.fixture
def bench(home: Home, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """What stands behind a page of this test's home folder; data is checked in this process, at once."""
    monkeypatch.setattr("ui.data.start_check", check_here)
    return Bench(home)


@pytest.fixture
def little_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 640 kB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs root on Linux to mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine does not let tests mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that the client asks instead of the real one, and no token of whoever runs the tests."""
    from huggingface_hub import constants

    with hub_server(Hub()) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "account/token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield served
