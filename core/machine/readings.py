"""Small readings that every probe needs: numbers out of texts, errors, what kind of machine it is."""

from __future__ import annotations

from typing import Any

# SMBIOS specification, "System Enclosure or Chassis Types": portable, laptop, notebook, hand held,
# sub notebook, tablet, convertible, detachable
_PORTABLE = ("8", "9", "10", "11", "14", "30", "31", "32")


def whole(value: Any, default: int = 0) -> int:
    """A whole number out of an int, `24560`, `0x744c` or whatever else: then `default`."""
    if isinstance(value, bool | int):
        return int(value)
    try:
        return int(str(value).strip(), 0)
    except ValueError:
        return default


def error_of(value: Any) -> str:
    """The error that stands where an answer should, else an empty string."""
    return str(value["error"]) if isinstance(value, dict) and "error" in value else ""


def is_portable(raw: dict[str, Any]) -> bool:
    """Whether the machine is a laptop or a tablet, by its chassis (Linux) or its battery (Windows)."""
    return str(raw.get("chassis", "")) in _PORTABLE or raw.get("battery") is True


def is_wsl(raw: dict[str, Any]) -> bool:
    """Linux inside Windows: its kernel's release says `microsoft`."""
    return "microsoft" in str((raw.get("system") or {}).get("release", "")).lower()


def display_of(card: dict[str, Any]) -> bool:
    """Whether a screen hangs on one of a card's connectors."""
    return "connected" in (card.get("connectors") or {}).values()
