"""LM Studio's folder is found wherever its pointer and settings say; Ollama's refusal is a sentence."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.export.handoff import lmstudio_models, lmstudio_place, ollama_create


@pytest.fixture
def user(tmp_path: Path) -> Path:
    folder = tmp_path / "user"
    folder.mkdir()
    return folder


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    file = tmp_path / "pirate-Q4_K_M.gguf"
    file.write_bytes(b"GGUF" + bytes(1000))
    return file


def test_not_installed(user: Path, gguf: Path) -> None:
    with pytest.raises(UserError, match=r"LM Studio was not found in .*\.lmstudio"):
        lmstudio_place(gguf, "pirate", user)
    assert list(user.iterdir()) == []


def test_plain_home(user: Path, gguf: Path) -> None:
    (user / ".lmstudio").mkdir()
    placed = lmstudio_place(gguf, "pirate", user)
    assert placed == user / ".lmstudio" / "models" / "lora-garage" / "pirate" / "pirate-Q4_K_M.gguf"
    assert placed.read_bytes() == gguf.read_bytes()
    assert os.path.samefile(placed, gguf)
    assert [path.name for path in placed.parent.iterdir()] == [placed.name]


def test_placing_again_replaces(user: Path, gguf: Path) -> None:
    (user / ".lmstudio").mkdir()
    lmstudio_place(gguf, "pirate", user)
    assert lmstudio_place(gguf, "pirate", user).read_bytes() == gguf.read_bytes()
    gguf.unlink()
    gguf.write_bytes(b"GGUF new")
    placed = lmstudio_place(gguf, "pirate", user)
    assert placed.read_bytes() == b"GGUF new"
    assert [path.name for path in placed.parent.iterdir()] == [placed.name]


def test_older_home_pointer_and_moved_models(user: Path, tmp_path: Path) -> None:
    (user / ".lmstudio").mkdir()
    older = user / ".cache" / "lm-studio"
    older.mkdir(parents=True)
    assert lmstudio_models(user) == older / "models"
    pointed = tmp_path / "elsewhere"
    pointed.mkdir()
    (user / ".lmstudio-home-pointer").write_text(f"{pointed}\n")
    assert lmstudio_models(user) == pointed / "models"
    (pointed / "settings.json").write_text(json.dumps({"downloadsFolder": str(tmp_path / "big disk")}))
    assert lmstudio_models(user) == tmp_path / "big disk"


def test_a_link_is_not_possible_so_it_is_copied(
    user: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    (user / ".lmstudio").mkdir()
    placed = lmstudio_place(gguf, "pirate", user)
    assert placed.read_bytes() == gguf.read_bytes() and not os.path.samefile(placed, gguf)


def test_ollama_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="Ollama was not found"):
        ollama_create(tmp_path, "pirate")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for ollama is a shell script")
def test_ollama_is_run_beside_the_modelfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the button runs, with a script in ollama's place: arguments, folder, and both ways it can end."""
    program = tmp_path / "bin" / "ollama"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\necho "$@" > called\ncat Modelfile >> called\n[ "$2" != bad ] || '
        '{ echo "Error: could not connect to ollama server" >&2; exit 1; }\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(UserError, match="no Modelfile"):
        ollama_create(tmp_path, "pirate")
    (tmp_path / "Modelfile").write_text("FROM ./x.gguf\n")
    assert ollama_create(tmp_path, "pirate") == "ollama run pirate"
    assert (tmp_path / "called").read_text() == "create pirate -f Modelfile\nFROM ./x.gguf\n"
    with pytest.raises(UserError, match="could not connect to ollama server"):
        ollama_create(tmp_path, "bad")
