"""What is drawn without a script: the parts of a memory estimate as a bar, row lengths as a histogram."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.fit import MemoryEstimate, Term

# which parts belong together and so share a colour; the shade changes within a family
_FAMILIES = {
    "weights": "model",
    "unquantized": "model",
    "dequantization": "model",
    "adapter": "adapter",
    "gradients": "adapter",
    "optimizer": "adapter",
    "activations": "rows",
    "logits": "rows",
}
_ORDER = ("model", "adapter", "rows", "other")
_SHADES = 3
# room behind the last part where the usable memory is not enough, so that the end of the bar can be seen
_HEADROOM = 1.04
_BARS = 32
_NICE = (1, 2, 2.5, 5, 10)
# a limit much further out than the rows would press them against the left edge
_FAR = 1.6
_TURNS_SHOWN = 6


@dataclass(frozen=True)
class BarPart:
    """A part of the peak as it is drawn; `bytes` with what measured runs have taught, `width` in percent of
    the bar, `share` of the whole peak."""

    term: Term
    bytes: int
    style: str
    width: float
    share: float


@dataclass(frozen=True)
class MemoryBar:
    """The parts in their order, and where the usable memory ends, in percent of the width."""

    parts: list[BarPart]
    usable_at: float


def memory_bar(estimate: MemoryEstimate) -> MemoryBar:
    """Families together, each part with its shade. What is too much stands behind a line."""
    over = estimate.total > estimate.usable
    full = max(1.0, estimate.total * _HEADROOM if over else float(estimate.usable))
    terms = [(_FAMILIES.get(term.key, "other"), term) for term in estimate.terms if term.bytes > 0]
    shades: Counter[str] = Counter()
    parts = []
    for family, term in sorted(terms, key=lambda item: _ORDER.index(item[0])):
        style = f"lg-part-{family} lg-shade-{shades[family] % _SHADES}"
        shades[family] += 1
        taken = round(term.bytes * estimate.correction)
        parts.append(BarPart(term, taken, style, 100 * taken / full, taken / max(1, estimate.total)))
    return MemoryBar(parts, 100 * estimate.usable / full)


@dataclass(frozen=True)
class Histogram:
    """Rows by length: `counts[i]` rows have i × width < tokens <= (i + 1) × width; `beyond` are longer."""

    width: int
    counts: list[int]
    beyond: int

    @property
    def end(self) -> int:
        return self.width * len(self.counts)

    @property
    def top(self) -> int:
        return max(*self.counts, self.beyond, 1)

    @property
    def ticks(self) -> list[int]:
        """The numbers under the bars."""
        return [at for at in range(0, self.end + 1, nice_width(self.end / 5)) if at < 0.94 * self.end]


def histogram(lengths: NDArray[np.int64], limit: int) -> Histogram:
    """Row lengths in at most 32 bars; the few longest rows don't squeeze all others together."""
    if not len(lengths):
        return Histogram(1, [0], 0)
    usual, longest = int(np.quantile(lengths, 0.995)), int(lengths.max())
    usual = longest if longest <= _FAR * usual else usual
    wanted = max(usual, limit if limit <= _FAR * usual else 0, 1)
    width = nice_width(wanted * 1.04 / _BARS)
    bars = max(1, math.ceil(wanted * 1.04 / width))
    places = (np.maximum(lengths, 1) - 1) // width
    counts = np.bincount(places[places < bars], minlength=bars)
    return Histogram(width, counts.tolist(), int((places >= bars).sum()))


def nice_width(rough: float) -> int:
    """The next round number of tokens that is at least `rough`."""
    power = 10 ** math.floor(math.log10(max(rough, 1)))
    return max(1, math.ceil(next(step * power for step in _NICE if step * power >= rough - 1e-9)))


def turn_counts(turns: NDArray[np.uint16]) -> list[tuple[str, int]]:
    """(messages in a row, rows); the many sizes at the end stand together."""
    sizes, counts = np.unique(turns, return_counts=True)
    lines = [(f"{size:,}", int(number)) for size, number in zip(sizes, counts)]
    if len(lines) > _TURNS_SHOWN:
        rest = sum(number for _, number in lines[_TURNS_SHOWN - 1 :])
        lines = [*lines[: _TURNS_SHOWN - 1], (f"{int(sizes[_TURNS_SHOWN - 1]):,} or more", rest)]
    return lines
