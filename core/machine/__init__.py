"""What is in this machine. Imports no torch, so the page can ask at any time."""

from core.machine.cards import card_named
from core.machine.kinds import GIB, MIB, Gpu, Hardware
from core.machine.known import Card, cards
from core.machine.probe import read_probe
from core.machine.reader import find_hardware, read_hardware
from core.machine.refusals import inability, refusal

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
]
