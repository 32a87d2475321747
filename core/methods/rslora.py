"""rsLoRA (Kalajdzievski 2023): LoRA whose strength is alpha over the root of the rank."""

from __future__ import annotations

from core.methods.lora import Lora


class RsLora(Lora):
    name = "rslora"
    title = "rsLoRA"
    help = "LoRA that stays stable at high ranks."
    order = 13
    trains = False
