"""The file sizes on offer: how many bits a weight takes, and what one loses."""

from __future__ import annotations

from dataclasses import dataclass

from core.base.errors import UserError


@dataclass(frozen=True)
class Quant:
    """One quantization. `bits` per weight is llama.cpp's own average over whole models."""

    name: str
    bits: float
    help: str

    def estimate(self, parameters: int) -> int:
        """About how many bytes a model of that many parameters takes."""
        return int(parameters * self.bits / 8)


DEFAULT_QUANT = "Q4_K_M"
QUANTS = {
    quant.name: quant
    for quant in (
        Quant("Q4_K_M", 4.9, "The usual choice: under a third of F16's size, answers nearly as good."),
        Quant("Q5_K_M", 5.7, "A little larger, a little closer to the original."),
        Quant("Q6_K", 6.6, "Hard to tell from the original; for small models and room to spare."),
        Quant("Q8_0", 8.5, "As good as the original in practice, half its size."),
        Quant("F16", 16.0, "Not quantized: every weight in 16 bits. Largest and slowest."),
    )
}


def quant_named(name: str) -> Quant:
    """The quantization called `name`, in any case; a UserError lists the known ones."""
    known = {quant.name.lower(): quant for quant in QUANTS.values()}
    if name.lower() not in known:
        raise UserError(f"There is no quantization “{name}”. Choose one of {', '.join(QUANTS)}.")
    return known[name.lower()]
