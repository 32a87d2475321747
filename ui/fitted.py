"""What Make it fit or Use the room has changed, as it stands in the choices, so that it can be taken back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from ui.choices import Choices

_MODEL = ("model_kind", "catalogue", "folder", "hub")


@dataclass(frozen=True)
class Noted:
    """One step: what it changed in words, the memory it saved, and the total after it; in bytes."""

    words: str
    saves: int
    total: int


@dataclass(frozen=True)
class Fitted:
    """`way` is `fit` or `room`; `start` the total before it, in bytes. `before` and `after` are choices."""

    way: str
    start: int
    steps: list[Noted]
    before: dict[str, Any]
    after: dict[str, Any]

    @classmethod
    def of(cls, choices: Choices) -> Fitted | None:
        """What was changed, as long as nothing was changed since."""
        try:
            steps = [Noted(**step) for step in choices.fitted["steps"]]
            found = cls(**{**choices.fitted, "steps": steps, "start": int(choices.fitted["start"])})
        except (KeyError, TypeError, ValueError):
            return None
        return found if found.after == _of(choices) and found.before.keys() == found.after.keys() else None


def fitted(choices: Choices, way: str, start: int, steps: list[Noted], **after: Any) -> Choices:
    """The choices after the steps, with the note that takes them back."""
    changed = replace(choices, **after)
    note = Fitted(way, start, steps, _of(choices), _of(changed))
    return replace(changed, fitted=asdict(note))


def unfitted(choices: Choices) -> Choices:
    """The choices before the steps; as they are when something else was changed since."""
    note = Fitted.of(choices)
    return replace(choices, fitted={}, **note.before) if note else replace(choices, fitted={})


def _of(choices: Choices) -> dict[str, Any]:
    """The choices that the steps may change."""
    return {name: getattr(choices, name) for name in ("changes", "preset", *_MODEL)}
