"""The table of cards, and cards called by name or by size."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.hardware import GIB, Hardware, card_named, cards, refusal
from core.hardware.families import nvidia_family
from core.hardware.known import known_card

NOWHERE = Hardware((), "", 1, 1, 1, 1, "Linux")


def test_the_table_holds_the_cards_that_people_have() -> None:
    table = cards()
    assert len({(card.name, card.mib) for card in table}) == len(table) >= 105
    assert {card.vendor for card in table} == {"nvidia", "amd", "intel", "apple"}
    families = {card.arch for card in table}
    assert families >= {"Pascal", "Volta", "Turing", "Ampere", "Ada", "Hopper", "Blackwell"}
    assert families >= {"RDNA2", "RDNA3", "RDNA4", "CDNA3", "Alchemist", "Battlemage", "M1", "M4"}
    assert sum(card.laptop for card in table) >= 20


def test_every_card_is_plausible_and_is_refused_if_it_is_too_old() -> None:
    for card in cards():
        assert 4000 <= card.mib <= 300_000 and 15 <= card.power <= 1200, card
        if card.vendor == "nvidia":
            assert card.capability is not None and nvidia_family(card.capability) == card.arch, card
            assert ("Laptop" in card.name or "Max-Q" in card.name) == card.laptop, card
        too_old = card.arch in ("Pascal", "RDNA1", "RDNA2", "Vega")
        assert (refusal(card.gpu(), NOWHERE) is not None) == too_old, card


def test_every_card_is_found_by_its_name_with_its_size_and_by_its_ids() -> None:
    for card in cards():
        gpu = card_named(f"{card.name} {card.mib / 1024:.0f} GB")
        assert (gpu.name, gpu.arch) == (card.name, card.arch)
        assert abs(gpu.total - card.total) <= 0.05 * card.total, card
        for ids in card.pci:
            device, _, revision = ids.partition(":")
            assert known_card(card.vendor, int(device, 16), int(revision or "0", 16)).name == card.name


@pytest.mark.parametrize(
    ("text", "name", "gib"),
    [
        ("RTX 3060", "NVIDIA GeForce RTX 3060", 12),
        ("rtx3060ti", "NVIDIA GeForce RTX 3060 Ti", 8),
        ("rtx 4090 laptop", "NVIDIA GeForce RTX 4090 Laptop GPU", 16),
        ("4060 Ti 16GB", "NVIDIA GeForce RTX 4060 Ti", 16),
        ("NVIDIA GeForce RTX 5090", "NVIDIA GeForce RTX 5090", 32),
        ("T4", "Tesla T4", 15),
        ("a100 80gb pcie", "NVIDIA A100 80GB PCIe", 80),
        ("7900 xtx", "AMD Radeon RX 7900 XTX", 24),
        ("Arc A770", "Intel(R) Arc(TM) A770 Graphics", 16),
        ("M3 Max 64", "Apple M3 Max", 64),
        ("12", "A GPU with 12 GiB", 12),
        ("12GiB", "A GPU with 12 GiB", 12),
        (" 7.5 gb ", "A GPU with 7.5 GiB", 7.5),
    ],
)
def test_cards_are_called_as_people_call_them(text: str, name: str, gib: float) -> None:
    gpu = card_named(text)
    assert gpu.name == name
    assert gpu.total == gpu.free
    assert gpu.total / GIB == pytest.approx(gib, rel=0.01)


def test_an_unknown_card_gets_near_ones() -> None:
    with pytest.raises(
        UserError, match=r"No card is called “RTX 3065”\. Near ones: NVIDIA GeForce RTX 30[56]0"
    ):
        card_named("RTX 3065")
    with pytest.raises(UserError, match="give its memory in GiB"):
        card_named("a toaster")


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_a_card_or_a_sentence(text: str) -> None:
    try:
        assert card_named(text).total > 0
    except UserError as error:
        assert "No card is called" in str(error)
