"""The fields of a config.json, each checked when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.base.errors import UserError

# far beyond any model, small enough that arithmetic and loops over layers stay quick
LARGEST = 1 << 28
MOST_LAYERS = 2000
LARGEST_FACTOR = 100
_LONGEST_SHOWN = 60


def shown(value: Any) -> str:
    """A value as it is quoted in a refusal: never long, whatever the file holds."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


class Fields:
    """The fields of one config, each checked when it is read; a UserError names the file and the field."""

    def __init__(self, values: Mapping[str, Any], where: str, defaults: Mapping[str, Any] | None = None):
        self.values = values
        self.where = where
        self.defaults = defaults or {}
        # what helps where a field is missing
        self.advice = "Get the complete config.json."

    def get(self, *names: str) -> Any:
        """The first of these fields that is set in the config; the class's default where it names none.

        A null in the config is no gap: the class then works the value out of others.
        """
        source = self.values if any(name in self.values for name in names) else self.defaults
        return next((source[name] for name in names if source.get(name) is not None), None)

    def whole(self, *names: str, default: int | None = None, least: int = 1, most: int = LARGEST) -> int:
        """A whole number. Without `default` the field must be there."""
        value = self.get(*names)
        if isinstance(value, list) and value and all(item == value[0] for item in value):
            # Gemma 3n lists the same width for every layer
            value = value[0]
        if value is None:
            value = default
        if value is None:
            raise UserError(
                f"{self.where} has no {names[0]}, without which the model's size can't be worked out. "
                f"{self.advice}"
            )
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.impossible(names[0], value)
        return value

    def factor(self, name: str) -> float:
        """A number to multiply a width by; 1 when the field is not there."""
        value = self.get(name)
        if value is None:
            return 1.0
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= LARGEST_FACTOR:
            raise self.impossible(name, value)
        return float(value)

    def flag(self, name: bool | str, *others: str) -> bool:
        """A yes or no, no when the field is not there; or the answer itself, where a family has no field."""
        if isinstance(name, bool):
            return name
        value = self.get(name, *others)
        if value not in (None, False, True):
            raise self.impossible(name, value)
        return bool(value)

    def words(self, name: str) -> list[str]:
        """A list of words; empty when the field is not there."""
        value = self.get(name)
        return [str(item) for item in value] if isinstance(value, list) else []

    def numbers(self, name: str) -> tuple[int, ...] | None:
        """A list of whole numbers: of layers, mostly. None when the field is not there."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            raise self.impossible(name, value)
        return tuple(value)

    def impossible(self, name: str, value: Any) -> UserError:
        return UserError(f"{self.where} has an impossible {name}: {shown(value)}.")

    def part(self, name: str, defaults: Mapping[str, Any] | None = None) -> Fields:
        """The fields of a part: `text_config`, `vision_config`."""
        value = self.values.get(name)
        return Fields(value if isinstance(value, dict) else {}, f"{self.where} ({name})", defaults)
