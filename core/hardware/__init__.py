"""What is in this machine. Imports no torch, so the page can ask at any time."""

from core.hardware.cards import card_named
from core.hardware.container import usable_cores
from core.hardware.kinds import GIB, MIB, Gpu, Hardware
from core.hardware.known import Card, cards
from core.hardware.machine import find_hardware, read_hardware
from core.hardware.probe import read_probe
from core.hardware.refusals import inability, refusal

__all__ = [
    "GIB",
    "MIB",
    "Card",
    "Gpu",
    "Hardware",
    "card_named",
    "cards",
    "find_hardware",
    "inability",
    "read_hardware",
    "read_probe",
    "refusal",
    "usable_cores",
]
