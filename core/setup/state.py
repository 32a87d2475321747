"""Set-up's memory, `.garage/setup.json`: which steps are done, and with which inputs."""

from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.base.files import write_json
from core.setup.ready import KEY as READY

FORMAT = 1


@dataclass
class State:
    """What is done. Written after every change, so that a kill at any moment loses one step at most."""

    path: Path
    values: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def load(path: Path) -> State:
        """The state in `path`; an empty one if it is missing, damaged or of another format."""
        try:
            values = json.loads(path.read_bytes())
        except (OSError, ValueError):
            values = {}
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            values = {}
        return State(path, values)

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        return self.values.setdefault("steps", {})

    @property
    def begun(self) -> str | None:
        """The step that was under way when the last set-up ended, however it ended."""
        return self.values.get("begun")

    def details(self, step: str) -> dict[str, Any]:
        """What `step` noted about its work; empty before it is done."""
        return self.steps.get(step, {}).get("details", {})

    def begin(self, step: str) -> None:
        """Note that `step` is under way: until `finish`, nothing of it counts."""
        self.steps.pop(step, None)
        self.values.pop(READY, None)
        self.values["begun"] = step
        self.save()

    def finish(self, step: str, fingerprint: str, seconds: float, details: dict[str, Any]) -> None:
        """Note that `step` is done with the inputs that `fingerprint` stands for."""
        when = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self.steps[step] = {
            "fingerprint": fingerprint,
            "seconds": round(seconds, 1),
            "finished": when,
            "details": details,
        }
        self.values.pop("begun", None)
        self.save()

    def forget(self, steps: list[str]) -> None:
        """Drop the marks of `steps`: they run again."""
        for step in steps:
            self.steps.pop(step, None)
        self.save()

    def save(self) -> None:
        self.values["format"] = FORMAT
        write_json(self.path, self.values)


def fingerprint(*inputs: str | Path) -> str:
    """A short hash over strings and the contents of files; a missing file counts as empty."""
    digest = hashlib.sha256()
    for item in inputs:
        content = item.encode() if isinstance(item, str) else item.read_bytes() if item.is_file() else b""
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:16]
