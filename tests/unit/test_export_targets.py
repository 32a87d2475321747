"""LM Studio's folder is found wherever its pointer and settings say; Ollama's refusal is a sentence."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.export.record import Export
from core.export.targets import target_named
from core.export.targets.lmstudio import models_folder


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "user"
    folder.mkdir()
    monkeypatch.setattr(Path, "home", lambda: folder)
    return folder


@pytest.fixture
def export(tmp_path: Path) -> Export:
    file = tmp_path / "pirate-Q4_K_M.gguf"
    file.write_bytes(b"GGUF" + bytes(1000))
    return Export(file, "Q4_K_M", 1004, "", "tuned", "starter", "", {})


def place(export: Export) -> Path:
    sentence = target_named("lmstudio").place(export)
    return Path(sentence.removeprefix("It lies in ").removesuffix("."))


def test_not_installed(user: Path, export: Export) -> None:
    with pytest.raises(UserError, match=r"LM Studio was not found in .*\.lmstudio"):
        place(export)
    assert target_named("lmstudio").missing() and list(user.iterdir()) == []
    with pytest.raises(UserError, match="no program “toaster”.*ollama, lmstudio"):
        target_named("toaster")


def test_placing_again_replaces(user: Path, export: Export) -> None:
    (user / ".lmstudio").mkdir()
    placed = place(export)
    assert placed == user / ".lmstudio" / "models" / "lora-garage" / "pirate" / "pirate-Q4_K_M.gguf"
    assert os.path.samefile(placed, export.file) and place(export) == placed
    export.file.unlink()
    export.file.write_bytes(b"GGUF new")
    assert place(export).read_bytes() == b"GGUF new"
    assert [path.name for path in placed.parent.iterdir()] == [placed.name]


def test_older_home_pointer_and_moved_models(user: Path, tmp_path: Path) -> None:
    (user / ".lmstudio").mkdir()
    older = user / ".cache" / "lm-studio"
    older.mkdir(parents=True)
    assert models_folder() == older / "models"
    pointed = tmp_path / "elsewhere"
    pointed.mkdir()
    (user / ".lmstudio-home-pointer").write_text(f"{pointed}\n")
    assert models_folder() == pointed / "models"
    (pointed / "settings.json").write_text(json.dumps({"downloadsFolder": str(tmp_path / "big disk")}))
    assert models_folder() == tmp_path / "big disk"


def test_a_link_is_not_possible_so_it_is_copied(
    user: Path, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    (user / ".lmstudio").mkdir()
    placed = place(export)
    assert placed.read_bytes() == export.file.read_bytes() and not os.path.samefile(placed, export.file)


def test_ollama_missing(export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ollama = target_named("ollama")
    assert "not found" in ollama.missing()
    assert ollama.command(export) == ""
    export.modelfile.write_text("FROM ./x.gguf\n")
    assert ollama.command(export) == f'ollama create pirate:q4_k_m -f "{export.modelfile}"'
    with pytest.raises(UserError, match="Ollama was not found"):
        ollama.place(export)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for ollama is a shell script")
def test_ollama_is_run_beside_the_modelfile(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the button runs, with a script in ollama's place: arguments, folder, and both ways it can end."""
    program = tmp_path / "bin" / "ollama"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\necho "$@" > called\ncat "$4" >> called\n'
        '[ ! -f bad ] || { echo "Error: could not connect to ollama server" >&2; exit 1; }\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    ollama = target_named("ollama")
    with pytest.raises(UserError, match="no Modelfile"):
        ollama.place(export)
    export.modelfile.write_text("FROM ./x.gguf\n")
    assert ollama.place(export) == "Talk to it with: ollama run pirate:q4_k_m"
    called = f"create pirate:q4_k_m -f {export.modelfile.name}\nFROM ./x.gguf\n"
    assert (tmp_path / "called").read_text() == called
    (tmp_path / "bad").touch()
    with pytest.raises(UserError, match="could not connect to ollama server"):
        ollama.place(export)
    export.file.unlink()
    with pytest.raises(UserError, match="is gone. Make it again"):
        ollama.place(export)
