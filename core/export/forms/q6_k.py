"""Six bits a weight."""

from __future__ import annotations

from core.export.forms.gguf import Gguf


class Q6K(Gguf):
    name = "Q6_K"
    order = 30
    bits = 6.6
    fallback = 8.5  # Q8_0
    help = "Hard to tell from the original; for small models and room to spare."
