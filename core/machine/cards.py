"""Cards by name or by size: `card_named("RTX 3060")`, as if the card were in this machine."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from core.base.errors import UserError
from core.machine.kinds import GIB, MIB, Gpu
from core.machine.known import Card, cards
from core.machine.nvidia import NAMES_ITSELF

# Words that tell no card from another
_FILLERS = {"nvidia", "geforce", "amd", "radeon", "intel", "apple", "arc", "gpu", "graphics", "card"}
_FILLERS |= {"generation", "oam", "fhhl", "dgxs"}
# How people write what drivers write otherwise
_SPELLINGS = (
    (r"\((?:tm|r)\)|[-()_]", " "),
    (r"\bmac(?:book)?(?: (?:pro|air|mini|studio))?\b|\blite hash rate\b|\bwith max q design\b", " "),
    (r"\bmobile\b", "laptop"),
    (r"\bsxm\d\b", "sxm"),
    (r"\b(gtx|rtx|rx)(\d)", r"\1 \2"),
    (r"\b(1660|20[678]0|40[78]0)s\b", r"\1 super"),
    (r"\b(\d{4}) ?tis\b", r"\1 ti super"),
    (r"(\d{4})(ti|super|xtx|xt|gre|d|ada)\b", r"\1 \2"),
    (r"(\d)\s*(?:gb|gib)\b", r"\1gb"),
)
# it has its unit, or stands at the end
_SIZE = re.compile(r"\b(?P<number>\d+(?:[.,]\d+)?)(?:\s*(?P<unit>gib|gb|g|mib|mb)\b|$)", re.IGNORECASE)
_LARGEST_GIB = 1024
_NEAR = 3
# A card of which only the memory is known counts as Ampere: most people's cards are that or younger. From so
# many GiB on it is taken for an A100, an RTX 3090, an RTX 3060: compute capability and watts
_TYPICAL = ((40, (8, 0), 400), (20, (8, 6), 350), (0, (8, 6), 170))
# “12 GB” cards report up to this share more or less than 12 GiB
_SAME_SIZE = 0.12


def card_named(text: str) -> Gpu:
    """The card called `text`, with a size where several have that name (“RTX 4060 Ti 16GB”), or any card of a
    size (“12”, “12GiB”). Of several that fit, the commonest. A UserError names near ones."""
    text = text.strip()
    name, gib = _name_and_size(text)
    if 0 < gib <= _LARGEST_GIB and not _words(name) and not text.startswith("-"):
        return _card_of(gib)
    found = _called(text, exact=True) or (_called(name, gib) if gib else None) or _called(text)
    if found is None:
        raise UserError(_other_sizes(name, gib) or _unknown(text))
    return found


def _card_of(gib: float) -> Gpu:
    total = round(gib * GIB)
    capability, watts = next((level, watts) for least, level, watts in _TYPICAL if gib >= least)
    return Gpu(f"A GPU with {gib:g} GiB", total, total, capability, "", power=watts)


def _gib(size: re.Match[str]) -> float:
    number = float(size["number"].replace(",", "."))
    return number * MIB / GIB if (size["unit"] or "").lower().startswith("m") else number


def _name_and_size(text: str) -> tuple[str, float]:
    """`RTX 4060 Ti` and 16 of `RTX 4060 Ti 16GB`, the last size of several; 0 where there is none."""
    *_, size = None, *_SIZE.finditer(text)
    return (text[: size.start()] + text[size.end() :], _gib(size)) if size else (text, 0)


def _called(name: str, gib: float = 0, exact: bool = False) -> Gpu | None:
    """The card with exactly these words as its name, else (unless `exact`) the shortest that has them all."""
    words = _words(name)
    fitting = [(found, card) for card in cards() if (found := _match(words, card)) and _has(card, gib)]
    same = [card for found, card in fitting if found == words]
    # “RTX” alone tells nothing
    near = [] if exact or not any(map(_telling, words)) else [card for _, card in fitting]
    best = min(same or near, key=lambda card: len(_words(card.name)), default=None)
    if best is None:
        return None
    gpu = best.gpu()
    return replace(gpu, total=round(gib * GIB), free=round(gib * GIB)) if best.unified and gib else gpu


def _match(words: frozenset[str], card: Card) -> frozenset[str]:
    """The words of the card's first name that has all of these; empty if none has, or none is given."""
    if card.capability and card.capability < NAMES_ITSELF:
        words -= {"laptop"}  # there it has the desktop's name
    names = (_words(name) for name in (card.name, *card.also))
    return next((name for name in names if words and words <= name), frozenset())


def _telling(word: str) -> bool:
    return any(letter.isdigit() for letter in word)


def _has(card: Card, gib: float) -> bool:
    """Whether the card has that much memory; a Mac can be bought with nearly any."""
    if card.unified:
        return gib <= _LARGEST_GIB
    return not gib or abs(card.mib / 1024 - gib) <= _SAME_SIZE * gib


def _other_sizes(name: str, gib: float) -> str:
    """A sentence where the card is known and has no such memory."""
    known = _called(name) if gib else None
    if known is None:
        return ""
    sizes = " or ".join(f"{card.total / GIB:.0f}" for card in cards() if card.name == known.name)
    return f"{known.name} has {sizes} GiB, not {gib:g}. Give only the memory where it is so, as in “{gib:g}”."


def _unknown(text: str) -> str:
    """A sentence with the cards that are called like that."""
    return f"No card is called “{text}”.{_near(text)} Or give its memory in GiB, as in “12”."


@lru_cache(1024)
def _words(text: str) -> frozenset[str]:
    """What tells a card from others: `rtx 4090 laptop` of `NVIDIA GeForce RTX 4090 Laptop GPU`."""
    plain = text.lower()
    for written, read in _SPELLINGS:
        plain = re.sub(written, read, plain)
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
