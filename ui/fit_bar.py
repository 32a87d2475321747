"""The parts of an estimate as a stacked bar, and as the table that is its legend."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from core.fit import MemoryEstimate, Term
from ui.fit_words import memory, of_memory, verdict_words
from ui.html import esc

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
# thinner pieces of the bar, as a share of its width, can't be seen
_SEEN = 0.002
# nearer to 0 than this, in percent of the width, the words of the scale would stand in each other's way
_LEFT = 40
_SEEN_SMALL = 0.008


@dataclass(frozen=True)
class Piece:
    """A part of the peak as it is drawn; `bytes` with what measured runs have taught."""

    term: Term
    bytes: int
    style: str

    @property
    def title(self) -> str:
        return esc(f"{self.term.title}: {memory(self.bytes)}")


def pieces(estimate: MemoryEstimate) -> list[Piece]:
    """The parts in the order of the bar: families together, each part with its shade."""
    terms = [(_FAMILIES.get(term.key, "other"), term) for term in estimate.terms if term.bytes > 0]
    seen: Counter[str] = Counter()
    found = []
    for family, term in sorted(terms, key=lambda item: _ORDER.index(item[0])):
        style = f"lg-part-{family} lg-shade-{seen[family] % _SHADES}"
        seen[family] += 1
        found.append(Piece(term, round(term.bytes * estimate.correction), style))
    return found


def bar_html(estimate: MemoryEstimate, small: bool = False) -> str:
    """The stacked bar. What is too much stands behind a line."""
    full = _full(estimate)
    seen = _SEEN_SMALL if small else _SEEN
    drawn = "".join(
        f'<span class="{piece.style}" title="{piece.title}" style="width:{100 * piece.bytes / full:.2f}%">'
        "</span>"
        for piece in pieces(estimate)
        if piece.bytes / full >= seen
    )
    at = f"left:{100 * estimate.usable / full:.2f}%"
    beyond = f'<em style="{at}"></em><i style="{at}"></i>' if estimate.total > estimate.usable else ""
    words = f"{of_memory(estimate.total, estimate.usable)}: {verdict_words(estimate.verdict).lower()}"
    kind = "lg-stack lg-small" if small else "lg-stack"
    return f'<div class="{kind}" role="img" aria-label="Memory: {words}">{drawn}{beyond}</div>'


def scale_html(estimate: MemoryEstimate) -> str:
    """Where the usable memory ends, under the bar."""
    at = 100 * estimate.usable / _full(estimate)
    words = f"{memory(estimate.usable)} usable"
    # where the line stands far left, its words go on to the right of it
    side = f"left:{at:.2f}%" if at < _LEFT else f"right:{100 - at:.2f}%"
    return f'<div class="lg-scale" aria-hidden="true"><span>0</span><span style="{side}">{words}</span></div>'


def _full(estimate: MemoryEstimate) -> float:
    """The memory that the whole width of the bar stands for."""
    if estimate.total > estimate.usable:
        return max(1.0, estimate.total * _HEADROOM)
    return max(1.0, float(estimate.usable))


def table_html(estimate: MemoryEstimate) -> str:
    """The parts as a table: the legend of the bar, with what each one is for."""
    total = max(1, estimate.total)
    rows = "".join(_row(piece, piece.bytes / total) for piece in pieces(estimate))
    head = _cells("th scope='col'", "Part", "What for", "Memory", "Share")
    foot = _cells("td", "Together", "", memory(estimate.total), "")
    return (
        f'<table class="lg-terms"><caption class="lg-hidden">The parts of the memory</caption>'
        f"<thead>{head}</thead><tbody>{rows}</tbody><tfoot>{foot}</tfoot></table>"
    )


def _row(piece: Piece, share: float) -> str:
    swatch = f'<span class="lg-swatch {piece.style}" aria-hidden="true"></span>'
    return (
        f"<tr><th scope='row'>{swatch}{esc(piece.term.title)}</th><td>{esc(piece.term.why)}</td>"
        f"<td>{memory(piece.bytes)}</td><td>{_percent(share)}</td></tr>"
    )


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "< 1%"


def _cells(kind: str, *words: str) -> str:
    """One row of a table; the words are our own."""
    end = kind.split(" ", 1)[0]
    return "<tr>" + "".join(f"<{kind}>{word}</{end}>" for word in words) + "</tr>"
