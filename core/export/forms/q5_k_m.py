"""Five bits a weight, and more for the tensors that lose most."""

from __future__ import annotations

from core.export.forms.gguf import Gguf


class Q5KM(Gguf):
    name = "Q5_K_M"
    order = 20
    bits = 5.7
    fallback = 6.5  # Q5_1 (6), and Q8_0 where Q6_K would stand
    help = "A little larger, a little closer to the original."
