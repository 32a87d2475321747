"""QDoRA: DoRA beside a frozen model that is kept in 4 bits."""

from __future__ import annotations

from typing import Any

from core.methods.dora import Dora


class QDora(Dora):
    name = "qdora"
    title = "QDoRA"
    help = "DoRA beside a model in 4 bits."
    order = 12
    settings: dict[str, Any] = {"method": "dora", "quantization": "nf4"}
