"""The quick look at every start: is everything set up for today's files? Imports and reads very little."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from core.setup.places import Places

KEY = "ready"


class StepFailed(Exception):
    """A step of set-up failed: says which, why and what to do. `log` has everything."""

    def __init__(self, sentence: str, log: Path) -> None:
        super().__init__(sentence)
        self.log = log


def ready(places: Places | None = None, test: bool = False) -> bool:
    """Whether set-up ended with today's requirement files and code, and what it made is still there.

    A False is no verdict: `prepare` then asks every step, and may find nothing to do.
    """
    places = places or Places()
    try:
        mark = json.loads(places.state.read_bytes())[KEY]
        fresh = mark["inputs"] == inputs_of(places) and (mark["test"] or not test)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return fresh and all(path.exists() for path in made_by_set_up(places))


def made_by_set_up(places: Places) -> list[Path]:
    """Files whose presence stands for the rest."""
    return [places.python, places.venv_id, places.converter / "convert_hf_to_gguf.py", places.starter]


def mark_ready(values: dict[str, Any], places: Places, test: bool) -> None:
    """Note in the state's `values` that all steps are done, with the test steps or without."""
    values[KEY] = {"inputs": inputs_of(places), "test": test}


def inputs_of(places: Places) -> str:
    """A hash over everything that decides what set-up installs: the locks and set-up's own code."""
    digest = hashlib.sha256()
    locks = (places.app / "assets" / "requirements").glob("*.txt")
    for path in [*sorted(locks), *sorted(Path(__file__).parent.glob("*.py"))]:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()
