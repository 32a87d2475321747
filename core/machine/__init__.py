"""What is in this machine: one finder, asked by set-up and by the app alike. Imports no torch.

`ask` collects raw answers (one JSON object, which can be recorded), `nvml` those of NVIDIA's driver; `read`
and `read_gpus` turn them into `Hardware` and `Gpu`; `hardware` also says why a card does not train; `cards`
is the table of cards that people have. May import core/base only, and nothing that set-up has to install:
another maker is a reader in `read_gpus` and a line in presets/cards.yaml.
"""

from core.machine.ask import ask_machine, read_probe, take_probe
from core.machine.cards import Card, card_named, cards
from core.machine.hardware import GIB, LEAST_GIB, MIB, NEW_GPUS, OLD_GPUS, Gpu, Hardware, inability, refusal
from core.machine.read import find_hardware, read_hardware

__all__ = [
    "GIB",
    "LEAST_GIB",
    "MIB",
    "NEW_GPUS",
    "OLD_GPUS",
    "Card",
    "Gpu",
    "Hardware",
    "ask_machine",
    "card_named",
    "cards",
    "find_hardware",
    "inability",
    "read_hardware",
    "read_probe",
    "refusal",
    "take_probe",
]
