"""presets/cards.yaml, the cards that people have: by PCI ids, by name or by size (`card_named("3060")`).

Needs PyYAML only when asked: before set-up has installed it, no card is known by its ids.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any

from core.base.errors import UserError
from core.base.home import APP_FOLDER
from core.machine.hardware import GIB, MIB, NAMES_LAPTOPS, Gpu, Vendor

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
# A card of which only the memory is known counts as Ampere: most people's cards are that or younger. From so
# many GiB on it is taken for an A100, an RTX 3090, an RTX 3060: compute capability and watts
_TYPICAL = ((40, (8, 0), 400), (20, (8, 6), 350), (0, (8, 6), 170))
# “12 GB” cards report up to this share more or less than 12 GiB
_SAME_SIZE = 0.12


@dataclass(frozen=True)
class Card:
    """One line of the table: the card as if it were here, with all of its memory free. `pci` holds device
    ids, with the revision where several cards share one; `also` what people call it."""

    gpu: Gpu
    pci: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


@cache
def cards() -> tuple[Card, ...]:
    """Every card of the table, in its order."""
    import yaml

    with open(APP_FOLDER / "presets" / "cards.yaml", "rb") as file:
        table = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return tuple(
        _card(vendor, family, row)
        for vendor, families in table.items()
        for family, rows in families.items()
        for row in rows
    )


def _card(vendor: Vendor, family: str, row: dict[str, Any]) -> Card:
    """`family` may carry the compute capability: `Ada 8.9`."""
    arch, _, level = family.partition(" ")
    major, _, minor = level.partition(".")
    gpu = Gpu(
        name=row["name"],
        total=row["mib"] * MIB,
        free=row["mib"] * MIB,
        capability=(int(major), int(minor)) if level else None,
        driver="",
        vendor=vendor,
        arch=arch,
        laptop=row.get("laptop", False),
        power=row.get("watts", 0),
        unified=row.get("unified", vendor == "apple"),
    )
    return Card(gpu, tuple(str(item).lower() for item in row.get("pci", [])), tuple(row.get("also", [])))


@cache
def gpus_with_ids(vendor: Vendor, device: int, revision: int) -> tuple[Gpu, ...]:
    """The cards with these PCI ids, smallest first; a nameless one if the table lacks them, or can't be read
    yet."""
    try:
        same = [card for card in cards() if card.gpu.vendor == vendor]
    except ImportError:
        same = []
    exact, alone = f"{device:04x}:{revision:02x}", f"{device:04x}"
    with_ids = [card for card in same if exact in card.pci] or [card for card in same if alone in card.pci]
    gpus = sorted((card.gpu for card in with_ids), key=lambda gpu: gpu.total)
    return tuple(gpus) or (Gpu("", 0, 0, None, "", vendor),)


def card_named(text: str) -> Gpu:
    """The card called `text`, with a size where several have that name (“RTX 4060 Ti 16GB”), or any card of a
    size (“12”, “12GiB”). Of several that fit, the commonest. A UserError names near ones."""
    text = text.strip()
    name, gib = _name_and_size(text)
    if 0 < gib <= _LARGEST_GIB and not _words(name) and not text.startswith("-"):
        total = round(gib * GIB)
        capability, watts = next((level, watts) for least, level, watts in _TYPICAL if gib >= least)
        return Gpu(f"A GPU with {gib:g} GiB", total, total, capability, "", power=watts)
    gpu = _called(text, exact=True) or (_called(name, gib) if gib else None) or _called(text)
    if gpu is None:
        raise UserError(_other_sizes(name, gib) or _unknown(text))
    return gpu


def _name_and_size(text: str) -> tuple[str, float]:
    """`RTX 4060 Ti` and 16 of `RTX 4060 Ti 16GB`, the last size of several; 0 where there is none."""
    *_, size = None, *_SIZE.finditer(text)
    if size is None:
        return text, 0
    number = float(size["number"].replace(",", "."))
    mib = (size["unit"] or "").lower().startswith("m")
    return text[: size.start()] + text[size.end() :], number * MIB / GIB if mib else number


@lru_cache(1024)
def _words(text: str) -> frozenset[str]:
    """What tells a card from others: `rtx 4090 laptop` of `NVIDIA GeForce RTX 4090 Laptop GPU`."""
    plain = text.lower()
    for pattern, usual in _SPELLINGS:
        plain = re.sub(pattern, usual, plain)
    return frozenset(re.findall(r"[a-z0-9.]+", plain)) - _FILLERS


def _called(name: str, gib: float = 0, exact: bool = False) -> Gpu | None:
    """The card with exactly these words as its name, else (unless `exact`) the shortest that has them all."""
    words = _words(name)
    fitting = [(match, c.gpu) for c in cards() if (match := _match(words, c)) and _has(c.gpu, gib)]
    same = [gpu for match, gpu in fitting if match == words]
    if not same and not exact and re.search(r"\d", " ".join(words)):  # “RTX” alone tells nothing
        same = [gpu for _, gpu in fitting]
    gpu = min(same, key=lambda gpu: len(_words(gpu.name)), default=None)
    if gpu is None or not (gpu.unified and gib):
        return gpu
    return replace(gpu, total=round(gib * GIB), free=round(gib * GIB))


def _match(words: frozenset[str], card: Card) -> frozenset[str]:
    """The words of the card's first name that has all of these; empty if none has, or none is given."""
    if card.gpu.capability and card.gpu.capability < NAMES_LAPTOPS:
        words -= {"laptop"}  # there it has the desktop's name
    names = (_words(name) for name in (card.gpu.name, *card.also))
    return next((name for name in names if words and words <= name), frozenset())


def _has(gpu: Gpu, gib: float) -> bool:
    """Whether the card has that much memory; a Mac can be bought with nearly any."""
    if gpu.unified:
        return gib <= _LARGEST_GIB
    return not gib or abs(gpu.total_gib - gib) <= _SAME_SIZE * gib


def _other_sizes(name: str, gib: float) -> str:
    """A sentence where the card is known and has no such memory."""
    gpu = _called(name) if gib else None
    if gpu is None:
        return ""
    sizes = " or ".join(f"{card.gpu.total_gib:.0f}" for card in cards() if card.gpu.name == gpu.name)
    return f"{gpu.name} has {sizes} GiB, not {gib:g}. Give only the memory where it is so, as in “{gib:g}”."


def _unknown(text: str) -> str:
    """A sentence with the three nearest cards: by their words, else by a number that they share (3060)."""
    names = {" ".join(sorted(_words(card.gpu.name))): card.gpu.name for card in cards()}
    near = [names[key] for key in get_close_matches(" ".join(sorted(_words(text))), names, 3, 0.4)]
    numbers = set(re.findall(r"\d{3,4}", text))
    shared = [name for name in names.values() if numbers & set(re.findall(r"\d{3,4}", name))]
    near = near or shared[:3]
    list_near = f" Near ones: {', '.join(near)}." if near else ""
    return f"No card is called “{text}”.{list_near} Or give its memory in GiB, as in “12”."
