"""LoRA+ (Hayou et al. 2024): LoRA whose second matrix learns faster."""

from __future__ import annotations

from core.methods.lora import Lora


class LoraPlus(Lora):
    name = "lora+"
    title = "LoRA+"
    help = "LoRA with a higher learning rate for one of its two matrices."
    order = 14
    trains = False
