"""Hand an exported model to Ollama (one command) or LM Studio (one folder)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from core.base.errors import UserError, disk_sentence
from core.base.files import link_or_copy, read_json, replacement
from core.base.process import telling_line
from core.export.modelfile import ollama_command

__all__ = ["lmstudio_models", "lmstudio_place", "ollama_command", "ollama_create", "ollama_installed"]

PUBLISHER = "lora-garage"
_CREATE_TIMEOUT_S = 1800


def ollama_installed() -> bool:
    """Whether there is an `ollama` to run."""
    return shutil.which("ollama") is not None


def ollama_create(folder: Path, name: str) -> str:
    """Run `ollama create` in the folder with the Modelfile; returns the command that talks to the model.

    A UserError when Ollama is missing, not running or refuses. Takes a while: it copies the model.
    """
    program = shutil.which("ollama")
    if program is None:
        raise UserError("Ollama was not found. Install it, start it once, then try again.")
    if not (folder / "Modelfile").is_file():
        raise UserError(f"{folder} has no Modelfile. Export the run again.")
    try:
        done = subprocess.run(
            [program, "create", name, "-f", "Modelfile"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_CREATE_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(
            "Ollama did not finish within half an hour. Is it running, and the disk free?"
        ) from error
    if done.returncode != 0:
        said = telling_line((done.stdout + b"\n" + done.stderr).decode("utf-8", "replace"))
        raise UserError(
            f"Ollama could not take the model: “{said}”. Is Ollama running? Start it and try again."
        )
    return f"ollama run {name}"


def lmstudio_models(user: Path | None = None) -> Path:
    """The folder in which LM Studio looks for models. A UserError if LM Studio was never started here.

    `user` is the user's own folder. LM Studio moves its home by a pointer file, and its models by a setting.
    """
    user = user or Path.home()
    home = _lmstudio_home(user)
    if not home.is_dir():
        raise UserError(f"LM Studio was not found in {home}. Install it, start it once, then try again.")
    settings = read_json(home / "settings.json", {})
    moved = settings.get("downloadsFolder") if isinstance(settings, dict) else None
    return Path(moved).expanduser() if moved else home / "models"


def _lmstudio_home(user: Path) -> Path:
    pointer = user / ".lmstudio-home-pointer"
    if pointer.is_file() and (named := pointer.read_text("utf-8").strip()):
        return Path(named).expanduser()
    older = user / ".cache" / "lm-studio"
    return older if older.is_dir() else user / ".lmstudio"


def lmstudio_place(gguf: Path, name: str, user: Path | None = None) -> Path:
    """Put `gguf` where LM Studio finds it: `<models>/lora-garage/<name>/<file>`. Returns that path.

    A hard link where both lie on one disk, so it takes no room; a copy otherwise. An older file gives way.
    """
    target = lmstudio_models(user) / PUBLISHER / name / gguf.name
    try:
        with replacement(target) as temporary:
            link_or_copy(gguf, temporary)
    except OSError as error:
        raise UserError(disk_sentence(error, "The model could not be placed", target.parent)) from error
    return target
