"""Cards by name or by size: `card_named("RTX 3060")`, as if the card were in this machine."""

from __future__ import annotations

import re
from difflib import get_close_matches

from core.errors import UserError
from core.hardware.kinds import GIB, Gpu
from core.hardware.known import Card, cards

# Words that tell no card from another
_FILLERS = {
    "nvidia",
    "geforce",
    "amd",
    "radeon",
    "intel",
    "apple",
    "gpu",
    "graphics",
    "generation",
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:gib|gb|g)?", re.IGNORECASE)
_LARGEST_GIB = 1024
_NEAR = 3
# A card of which only the memory is known counts as the youngest family that most people have
_TYPICAL = ((8, 6), "570")


def card_named(text: str) -> Gpu:
    """The card called `text`, or any card of a size (“12”, “12GiB”). A UserError names near ones."""
    size = _SIZE.fullmatch(text.strip())
    if size and 0 < float(size[1]) <= _LARGEST_GIB:
        return _card_of(float(size[1]))
    words = _words(text)
    best = [card for card in cards() if _words(card.name) == words]
    best = best or [card for card in cards() if words and words <= _words(card.name)]
    if not best:
        raise UserError(f"No card is called “{text}”.{_near(text)} Or give its memory in GiB, as in “12”.")
    return min(best, key=lambda card: (len(_words(card.name)), card.mib)).gpu()


def _card_of(gib: float) -> Gpu:
    capability, _ = _TYPICAL
    total = round(gib * GIB)
    return Gpu(f"A GPU with {gib:g} GiB", total, total, capability, "")


def _words(text: str) -> frozenset[str]:
    """What tells a card from others: `rtx 4090 laptop` of `NVIDIA GeForce RTX 4090 Laptop GPU`."""
    parts = re.sub(r"(\d)\s*(gb|gib)\b", r"\1gb", text.lower().replace("(tm)", " ").replace("-", " "))
    found = re.findall(r"[a-z0-9.]+", parts)
    return frozenset(word for word in found if word not in _FILLERS)


def _near(text: str) -> str:
    """` Near ones: …` or nothing."""
    by_key = {" ".join(sorted(_words(card.name))): card for card in cards()}
    keys = get_close_matches(" ".join(sorted(_words(text))), by_key, _NEAR, 0.4)
    names = [by_key[key].name for key in keys] or [card.name for card in _of_number(text)[:_NEAR]]
    return f" Near ones: {', '.join(names)}." if names else ""


def _of_number(text: str) -> list[Card]:
    """Cards that share a number with `text`: 3060 is more telling than the rest."""
    numbers = set(re.findall(r"\d{3,4}", text))
    return [card for card in cards() if numbers & set(re.findall(r"\d{3,4}", card.name))]
