"""Cards by name or by size: `card_named("RTX 3060")`, as if the card were in this machine."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from core.errors import UserError
from core.hardware.kinds import GIB, Gpu
from core.hardware.known import Card, cards

# Words that tell no card from another
_FILLERS = {"nvidia", "geforce", "amd", "radeon", "intel", "apple", "gpu", "graphics", "generation", "arc"}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:gib|gb|g)?", re.IGNORECASE)
_LARGEST_GIB = 1024
_NEAR = 3
# A card of which only the memory is known counts as Ampere: most people's cards are that or younger
_TYPICAL = (8, 6)
# “12 GB” cards report up to this share more or less than 12 GiB
_SAME_SIZE = 0.12


def card_named(text: str) -> Gpu:
    """The card called `text`, with a size where several have that name (“RTX 4060 Ti 16GB”), or any card of a
    size (“12”, “12GiB”). Of several that fit, the commonest. A UserError names near ones."""
    size = _SIZE.fullmatch(text.strip())
    if size and 0 < float(size[1]) <= _LARGEST_GIB:
        return _card_of(float(size[1]))
    found = _called(_words(text), exact=True) or _called_with_size(text) or _called(_words(text))
    if found is None:
        raise UserError(f"No card is called “{text}”.{_near(text)} Or give its memory in GiB, as in “12”.")
    return found


def _card_of(gib: float) -> Gpu:
    total = round(gib * GIB)
    return Gpu(f"A GPU with {gib:g} GiB", total, total, _TYPICAL, "")


def _called(words: frozenset[str], gib: float = 0, exact: bool = False) -> Gpu | None:
    """The card with exactly these words in its name, else (unless `exact`) the shortest that has them all."""
    fitting = [card for card in cards() if words and words <= _words(card.name) and _has(card, gib)]
    same = [card for card in fitting if _words(card.name) == words]
    if exact:
        fitting = same
    best = min(same or fitting, key=lambda card: len(_words(card.name)), default=None)
    if best is None:
        return None
    gpu = best.gpu()
    return replace(gpu, total=round(gib * GIB), free=round(gib * GIB)) if best.unified and gib else gpu


def _called_with_size(text: str) -> Gpu | None:
    """`RTX 4060 Ti 16GB`, `M3 Max 64`: a name that the table has, and which of its sizes."""
    found = re.fullmatch(r"(.*\D)\s*?\b(\d+(?:\.\d+)?)\s*(?:gib|gb|g)?", text.strip(), re.IGNORECASE)
    return _called(_words(found[1]), float(found[2])) if found else None


def _has(card: Card, gib: float) -> bool:
    """Whether the card has that much memory; a Mac can be bought with nearly any."""
    return not gib or card.unified or abs(card.mib / 1024 - gib) <= _SAME_SIZE * gib


@lru_cache(1024)
def _words(text: str) -> frozenset[str]:
    """What tells a card from others: `rtx 4090 laptop` of `NVIDIA GeForce RTX 4090 Laptop GPU`."""
    plain = text.lower().replace("(tm)", " ").replace("(r)", " ").replace("-", " ")
    plain = re.sub(r"\b(gtx|rtx|rx)(\d)", r"\1 \2", plain)
    plain = re.sub(r"(\d{4})(ti|super|xtx|xt|gre)\b", r"\1 \2", plain)
    plain = re.sub(r"(\d)\s*(gb|gib)\b", r"\1gb", plain)
    return frozenset(word for word in re.findall(r"[a-z0-9.]+", plain) if word not in _FILLERS)


def _near(text: str) -> str:
    """` Near ones: …` or nothing."""
    from difflib import get_close_matches

    by_key = {" ".join(sorted(_words(card.name))): card.name for card in cards()}
    keys = get_close_matches(" ".join(sorted(_words(text))), by_key, _NEAR, 0.4)
    names = [by_key[key] for key in keys] or _of_number(text)[:_NEAR]
    return f" Near ones: {', '.join(names)}." if names else ""


def _of_number(text: str) -> list[str]:
    """Cards that share a number with `text`: 3060 is more telling than the rest."""
    numbers = set(re.findall(r"\d{3,4}", text))
    return list(dict.fromkeys(c.name for c in cards() if numbers & set(re.findall(r"\d{3,4}", c.name))))
