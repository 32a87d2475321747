"""presets/cards.yaml: the cards that people have, with what their drivers report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from core.base.home import APP_FOLDER
from core.machine.kinds import MIB, Gpu, Vendor

CARDS = APP_FOLDER / "presets" / "cards.yaml"


@dataclass(frozen=True)
class Card:
    """One line of the table. `pci` holds device ids, with the revision where several cards share one; `also`
    what people call the card."""

    name: str
    vendor: Vendor
    arch: str
    mib: int
    capability: tuple[int, int] | None = None
    laptop: bool = False
    power: int = 0
    unified: bool = False
    pci: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return self.mib * MIB

    def gpu(self) -> Gpu:
        """The card as if it were here, with all of its memory free; no driver is known."""
        return Gpu(
            name=self.name,
            total=self.total,
            free=self.total,
            capability=self.capability,
            driver="",
            vendor=self.vendor,
            arch=self.arch,
            laptop=self.laptop,
            unified=self.unified,
            power=self.power,
        )


UNKNOWN = Card("", "nvidia", "", 0)


@cache
def cards() -> tuple[Card, ...]:
    """Every card of the table, in its order."""
    import yaml

    with open(CARDS, "rb") as file:
        table = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return tuple(
        _card(vendor, arch, row)
        for vendor, archs in table.items()
        for arch, rows in archs.items()
        for row in rows
    )


def _card(vendor: Vendor, arch: str, row: dict[str, Any]) -> Card:
    """`arch` may carry the compute capability: `Ada 8.9`."""
    family, _, level = arch.partition(" ")
    major, _, minor = level.partition(".")
    return Card(
        name=row["name"],
        vendor=vendor,
        arch=family,
        mib=row["mib"],
        capability=(int(major), int(minor)) if level else None,
        laptop=row.get("laptop", False),
        power=row.get("watts", 0),
        unified=row.get("unified", vendor == "apple"),
        pci=tuple(str(item).lower() for item in row.get("pci", [])),
        also=tuple(row.get("also", [])),
    )


@cache
def known_cards(vendor: str, device: int, revision: int) -> tuple[Card, ...]:
    """The cards with these PCI ids, smallest first; none if the table lacks them, or before its reader is
    installed."""
    try:
        same = [card for card in cards() if card.vendor == vendor]
    except ImportError:
        return ()
    exact, alone = f"{device:04x}:{revision:02x}", f"{device:04x}"
    found = [card for card in same if exact in card.pci] or [card for card in same if alone in card.pci]
    return tuple(sorted(found, key=lambda card: card.mib))


def known_card(vendor: str, device: int, revision: int) -> Card:
    """The smallest of them; UNKNOWN without any."""
    return next(iter(known_cards(vendor, device, revision)), UNKNOWN)
