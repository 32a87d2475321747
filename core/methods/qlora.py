"""QLoRA (Dettmers et al. 2023): LoRA beside a frozen model that is kept in 4 bits."""

from __future__ import annotations

from typing import Any

from core.methods.lora import Lora


class QLora(Lora):
    name = "qlora"
    title = "QLoRA"
    help = "LoRA beside a model in 4 bits: a quarter of its memory, a little slower. For small cards."
    order = 2
    settings: dict[str, Any] = {"method": "lora", "quantization": "nf4"}
