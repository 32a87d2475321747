"""Eight bits a weight."""

from __future__ import annotations

from core.export.forms.gguf import Gguf


class Q80(Gguf):
    name = "Q8_0"
    order = 40
    bits = 8.5
    help = "As good as the original in practice, half its size."
