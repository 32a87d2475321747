"""The table of cards, and cards called by name or by size."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.machine import GIB, MIB, Hardware, card_named, cards, inability
from core.machine.cards import gpus_with_ids
from core.machine.hardware import nvidia_family

NOWHERE = Hardware((), "", 1, 1, 1, 1, "Linux")


def test_the_table_holds_the_cards_that_people_have() -> None:
    table = [card.gpu for card in cards()]
    assert len({(gpu.name, gpu.total) for gpu in table}) == len(table) >= 105
    assert {gpu.vendor for gpu in table} == {"nvidia", "amd", "intel", "apple"}
    families = {gpu.arch for gpu in table}
    assert families >= {"Pascal", "Volta", "Turing", "Ampere", "Ada", "Hopper", "Blackwell"}
    assert families >= {"RDNA2", "RDNA3", "RDNA4", "CDNA3", "Alchemist", "Battlemage", "M1", "M4"}
    assert sum(gpu.laptop for gpu in table) >= 20


def test_every_card_is_plausible_and_is_refused_if_it_is_too_old() -> None:
    for gpu in (card.gpu for card in cards()):
        assert 4000 <= gpu.total / MIB <= 300_000 and 15 <= gpu.power <= 1400, gpu
        if gpu.vendor == "nvidia":
            assert gpu.capability is not None and nvidia_family(gpu.capability) == gpu.arch, gpu
            portable = "Laptop" in gpu.name or gpu.name.endswith(("Max-Q Design", "RTX 2050"))
            assert portable == gpu.laptop, gpu
        too_old = gpu.arch in ("Kepler", "Maxwell", "Pascal", "GCN4", "Vega", "RDNA1", "RDNA2")
        assert (inability(gpu, NOWHERE) is not None) == too_old, gpu


def test_every_card_is_found_by_its_name_with_its_size_and_by_its_ids() -> None:
    for card in cards():
        known = card.gpu
        gpu = card_named(f"{known.name} {known.total_gib:.0f} GB")
        assert (gpu.name, gpu.arch) == (known.name, known.arch)
        assert abs(gpu.total - known.total) <= 0.05 * known.total, card
        for ids in card.pci:
            device, _, revision = ids.partition(":")
            same = gpus_with_ids(known.vendor, int(device, 16), int(revision or "0", 16))
            assert same[0].name == known.name


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
        ("12,5", "A GPU with 12.5 GiB", 12.5),
        ("12GB GPU", "A GPU with 12 GiB", 12),
        ("24576MiB", "A GPU with 24 GiB", 24),
        ("3060", "NVIDIA GeForce RTX 3060", 12),
        ("4090 mobile", "NVIDIA GeForce RTX 4090 Laptop GPU", 16),
        ("4070tis", "NVIDIA GeForce RTX 4070 Ti SUPER", 16),
        ("2070s", "NVIDIA GeForce RTX 2070 SUPER", 8),
        ("4090D", "NVIDIA GeForce RTX 4090 D", 24),
        ("RTX 4090 48GB", "NVIDIA GeForce RTX 4090", 48),
        ("T1000", "NVIDIA T1000", 4),
        ("T1000 8GB", "NVIDIA T1000 8GB", 8),
        ("RTX 3090 (24 GB)", "NVIDIA GeForce RTX 3090", 24),
        ("H100 SXM5", "NVIDIA H100 80GB HBM3", 80),
        ("A100 SXM 80GB", "NVIDIA A100-SXM4-80GB", 80),
        ("A100-80GB", "NVIDIA A100 80GB PCIe", 80),
        ("RTX PRO 6000 Max-Q", "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", 95.6),
        ("GeForce RTX 2070 with Max-Q Design", "NVIDIA GeForce RTX 2070", 8),
        ("RTX 2060 mobile 6GB", "NVIDIA GeForce RTX 2060", 6),
        ("Tesla V100-DGXS-32GB", "Tesla V100-SXM2-32GB", 32),
        ("RTX_6000Ada", "NVIDIA RTX 6000 Ada Generation", 48),
        ("MI300X OAM", "AMD Instinct MI300X", 192),
        ("RTX_4070S_Ti", "NVIDIA GeForce RTX 4070 Ti SUPER", 16),
        ("DGX Spark", "NVIDIA GB10", 120),
        ("Strix Halo 64GB", "AMD Radeon 8060S", 64),
        ("Ryzen AI Max+ 395", "AMD Radeon 8060S", 96),
        ("7700S", "AMD Radeon RX 7700S", 8),
        ("W7800 48GB", "AMD Radeon Pro W7800 48GB", 48),
        ("MacBook Pro M3 Max 64GB", "Apple M3 Max", 64),
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


def test_a_size_that_a_card_does_not_have_is_said() -> None:
    with pytest.raises(UserError, match=r"RTX 3060 has 12 or 8 GiB, not 24\."):
        card_named("RTX 3060 24GB")


@pytest.mark.parametrize(
    "text", ["RTX", "Ti", "max 1100", "0", "-12", "1025", "12.5.5", "nan", "M2 Max 4096GB"]
)
def test_what_tells_no_card_is_not_guessed(text: str) -> None:
    with pytest.raises(UserError):
        card_named(text)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_a_card_or_a_sentence(text: str) -> None:
    try:
        assert card_named(text).total > 0
    except UserError as error:
        assert "No card is called" in str(error) or " GiB, not " in str(error)
