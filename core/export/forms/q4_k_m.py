"""Four bits a weight, and more for the tensors that lose most: what most people take."""

from __future__ import annotations

from core.export.forms.gguf import Gguf


class Q4KM(Gguf):
    name = "Q4_K_M"
    order = 10
    bits = 4.9
    help = "The usual choice: under a third of F16's size, answers nearly as good."
