"""The event log of a job: one JSON object a line, appended only, readable while it is written."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from core.base.errors import UserError, file_sentence

MAX_READ = 8 << 20


def now() -> str:
    """The time as the logs write it: UTC, ISO 8601, milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


class EventLog:
    """Append to and read from `events.jsonl`.

    One process writes at a time. A line cut off by a kill or a full disk costs only itself: the next
    append starts on a fresh line, and readers pass over what is not a whole JSON object.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, kind: str, **fields: Any) -> None:
        """Add one event. Non-finite numbers become strings, because JSON has none."""
        event = {"t": now(), "kind": kind, **{key: _plain(value) for key, value in fields.items()}}
        line = json.dumps(event, ensure_ascii=False, allow_nan=False, default=str).encode("utf-8") + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab+") as file:
            if file.tell() > 0:
                file.seek(-1, 2)
                if file.read(1) != b"\n":
                    line = b"\n" + line
            file.write(line)

    def read(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The whole events from byte `offset` on, and the offset to go on from (at most 8 MiB at once).

        Something else in its place is a UserError.
        """
        try:
            with open(self.path, "rb") as file:
                file.seek(offset)
                data = file.read(MAX_READ)
        except FileNotFoundError:
            return [], 0
        except OSError as error:
            raise UserError(
                file_sentence(error) or f"{self.path} can't be read: {error.strerror}."
            ) from error
        end = data.rfind(b"\n") + 1
        events = [event for line in data[:end].split(b"\n") if (event := _event(line)) is not None]
        return events, offset + end

    def size(self) -> int:
        """Bytes written so far: an offset from which `read` gives only what comes later."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def all(self) -> list[dict[str, Any]]:
        """Every event from the start."""
        events: list[dict[str, Any]] = []
        offset = 0
        while True:
            more, reached = self.read(offset)
            events += more
            if reached == offset:
                return events
            offset = reached


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and isinstance(value.get("kind"), str) else None


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
