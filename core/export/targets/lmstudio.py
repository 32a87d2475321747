"""LM Studio: a file in the folder where it looks for models."""

from __future__ import annotations

from pathlib import Path

from core.base.errors import UserError, disk_sentence
from core.base.files import link_or_copy, read_json, replacement
from core.export.record import Export
from core.export.targets import Target

PUBLISHER = "lora-garage"


class LmStudio(Target):
    name = "lmstudio"
    title = "LM Studio"
    order = 20
    button = "Place it in LM Studio"
    doing = "Placing the file"

    def missing(self) -> str:
        home = _home()
        there = home.is_dir()
        return (
            "" if there else f"LM Studio was not found in {home}. Install it, start it once, then try again."
        )

    def place(self, export: Export) -> str:
        """`<models>/lora-garage/<name>/<file>`: a hard link where both lie on one disk, a copy otherwise."""
        if reason := self.missing():
            raise UserError(reason)
        target = models_folder() / PUBLISHER / export.model_name / export.file.name
        try:
            with replacement(target) as temporary:
                link_or_copy(export.file, temporary)
        except OSError as error:
            raise UserError(disk_sentence(error, "The model could not be placed", target.parent)) from error
        return f"It lies in {target}."


def models_folder() -> Path:
    """The folder in which LM Studio looks for models: a setting may move it."""
    settings = read_json(_home() / "settings.json", {})
    moved = settings.get("downloadsFolder") if isinstance(settings, dict) else None
    return Path(moved).expanduser() if moved else _home() / "models"


def _home() -> Path:
    """LM Studio's own folder, which a pointer file may move."""
    user = Path.home()
    pointer = user / ".lmstudio-home-pointer"
    if pointer.is_file() and (named := pointer.read_text("utf-8").strip()):
        return Path(named).expanduser()
    older = user / ".cache" / "lm-studio"
    return older if older.is_dir() else user / ".lmstudio"
