"""The problems of the data by kind: how bad, how many, where, and the fix to take or to take back."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from ui.html import esc

_WORDS = {"error": ("bad", "✗", "Error"), "warning": ("warn", "!", "Warning"), "note": ("info", "·", "Note")}
_ORDER = ("error", "warning", "note")


@dataclass(frozen=True)
class Place:
    """One row of a problem: its number in the store (None where it could not be made a row), and why."""

    where: str
    reason: str = ""
    number: int | None = None


@dataclass(frozen=True)
class Entry:
    """One kind of problem as the page shows it. `fix` is what its button says, empty without one."""

    kind: str
    severity: str
    count: int
    message: str
    fix: str = ""
    places: list[Place] = field(default_factory=list)


def problems_html(entries: Iterable[Entry], taken: Collection[str]) -> str:
    """All of them, errors first, many rows before few. A taken fix leaves its entry where it was."""
    ordered = sorted(entries, key=lambda entry: (_ORDER.index(entry.severity), -entry.count))
    if not ordered:
        return ""
    items = "".join(_entry_html(entry, entry.kind in taken) for entry in ordered)
    return (
        f'<section id="data-problems"><h3>What stands out</h3><ul class="lg-problems">{items}</ul></section>'
    )


def _entry_html(entry: Entry, taken: bool) -> str:
    mark, sign, word = ("ok", "✓", "Fixed") if taken else _WORDS[entry.severity]
    return (
        f'<li class="lg-problem lg-{mark}" id="problem-{slug(entry.kind)}">'
        f'<span class="lg-tag"><span aria-hidden="true">{sign}</span> {word}</span>'
        f'<div class="lg-problem-text"><p>{esc(entry.message)}</p>{_places_html(entry)}</div>'
        f"{_fix_html(entry, taken)}</li>"
    )


def _places_html(entry: Entry) -> str:
    """The first rows: those that can be shown as buttons, each with its reason."""
    if not entry.places or (entry.count == 1 and entry.places[0].number is None):
        return ""
    shown = "".join(_place_html(entry, place) for place in entry.places)
    rest = entry.count - len(entry.places)
    more = f"<span>and {rest:,} more</span>" if rest > 0 else ""
    return f'<p class="lg-places">{shown}{more}</p>'


def _place_html(entry: Entry, place: Place) -> str:
    if place.number is None:
        return f'<span title="{esc(place.reason)}">{esc(place.where)}</span>'
    identifier = f"problem-{slug(entry.kind)}-{place.number}"
    return (
        f'<button type="button" id="{identifier}" class="lg-place" data-act="show" '
        f'data-value="{place.number}" data-shows="data-preview" title="{esc(place.reason)}" '
        f'aria-label="Show {esc(place.where)}">'
        f"{esc(place.where)}</button>"
    )


def _fix_html(entry: Entry, taken: bool) -> str:
    """One button for both ways, so that the focus stays on it."""
    if not entry.fix:
        return ""
    act, words = ("untake", "Take it back") if taken else ("take", entry.fix)
    return (
        f'<button type="button" id="fix-{slug(entry.kind)}" class="lg-quiet" data-act="{act}" '
        f'data-value="{esc(entry.kind)}" aria-describedby="problem-{slug(entry.kind)}">{esc(words)}</button>'
    )


def cleaned_html() -> str:
    """The way to the rows as they would be trained (JSONL), and to the list of what was changed in them."""
    return (
        '<a id="data-cleaned" class="lg-second" download href="garage/data/cleaned.jsonl">'
        "Save cleaned copy</a>"
        '<a id="data-changes" download href="garage/data/changes.jsonl">What was changed</a>'
    )


def slug(kind: str) -> str:
    """A kind's name as part of an id: “e-mail addresses” → “e-mail-addresses”."""
    return re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")
