"""Fixtures that several unit tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.home import STARTER_GGUF
from core.starter import write_tokenizer


@pytest.fixture(scope="session")
def starter_tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the starter's real tokenizer and chat template, without its weights. Read only."""
    folder = tmp_path_factory.mktemp("starter-tokenizer")
    write_tokenizer(STARTER_GGUF, folder)
    return folder
