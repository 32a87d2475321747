"""Four bits a weight, and more for the tensors that lose most: what most people take."""

from __future__ import annotations

from core.export.forms.gguf import Gguf


class Q4KM(Gguf):
    name = "Q4_K_M"
    order = 10
    bits = 4.9
    fallback = 6.0  # Q5_0 (5.5), and Q8_0 where Q6_K would stand
    help = "The usual choice: under a third of F16's size, answers nearly as good."
