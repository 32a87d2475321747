"""Two small plots of the Data step, as bars that the page can scale: row lengths and turns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ui.html import count, esc, fold

_BARS = 32
_NICE = (1, 2, 2.5, 5, 10)
# a limit much further out than the rows would press them against the left edge
_FAR = 1.6
_TURNS_SHOWN = 6


@dataclass(frozen=True)
class Histogram:
    """Rows by length: `counts[i]` rows have i × width < tokens <= (i + 1) × width; `beyond` are longer."""

    width: int
    counts: list[int]
    beyond: int

    @property
    def end(self) -> int:
        return self.width * len(self.counts)


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


def lengths_html(found: Histogram, limit: int, summary: str) -> str:
    """The histogram with the maximum length drawn in; the same numbers as a table below it."""
    top = max(*found.counts, found.beyond, 1)
    bars = "".join(_bar(place, number, top, found, limit) for place, number in enumerate(found.counts))
    return (
        f'<figure class="lg-hist"><figcaption>Tokens in a row</figcaption>'
        f'<div class="lg-hist-plot" role="img" aria-label="{esc(summary)}">'
        f'<span class="lg-hist-top">{count(top, "row")}</span>'
        f'<svg viewBox="0 0 {len(found.counts)} 100" preserveAspectRatio="none" aria-hidden="true">'
        f"{bars}</svg>"
        f"{_limit_html(found, limit)}</div>{_ticks(found)}</figure>{_table(found)}"
    )


def _bar(place: int, number: int, top: int, found: Histogram, limit: int) -> str:
    # a single row among thousands must still be seen
    height = 0 if not number else max(1.2, 100 * number / top)
    kind = "long" if place * found.width >= limit else "fits"
    words = f"{place * found.width + 1:,} to {(place + 1) * found.width:,} tokens: {count(number, 'row')}"
    return (
        f'<g><title>{words}</title><rect class="hit" x="{place}" y="0" width="1" height="100"/>'
        f'<rect class="{kind}" x="{place + 0.06:.2f}" y="{100 - height:.2f}" width="0.88" '
        f'height="{height:.2f}"/></g>'
    )


def _limit_html(found: Histogram, limit: int) -> str:
    """The line at the maximum length, with its label on the side that has room."""
    if limit > found.end:
        return f'<span class="lg-limit lg-off"><span>maximum {limit:,} →</span></span>'
    share = 100 * limit / found.end
    side = " lg-left" if share > 55 else ""
    return f'<span class="lg-limit{side}" style="left:{share:.2f}%"><span>maximum {limit:,}</span></span>'


def _ticks(found: Histogram) -> str:
    size = nice_width(found.end / 5)
    marks = "".join(
        f'<span style="left:{100 * at / found.end:.2f}%">{at:,}</span>'
        for at in range(0, found.end + 1, size)
        if at < 0.94 * found.end
    )
    longer = f"{found.beyond:,} longer" if found.beyond else f"{found.end:,}"
    return f'<div class="lg-hist-ticks" aria-hidden="true">{marks}<span class="last">{longer}</span></div>'


def _table(found: Histogram) -> str:
    rows = "".join(
        f"<tr><td>{place * found.width + 1:,} to {(place + 1) * found.width:,}</td><td>{number:,}</td></tr>"
        for place, number in enumerate(found.counts)
        if number
    )
    if found.beyond:
        rows += f"<tr><td>more than {found.end:,}</td><td>{found.beyond:,}</td></tr>"
    table = (
        '<div class="lg-table" tabindex="0" role="region" aria-label="Row lengths"><table><thead><tr>'
        f'<th scope="col">Tokens</th><th scope="col">Rows</th></tr></thead><tbody>{rows}</tbody>'
        "</table></div>"
    )
    return fold("data-lengths", "The same as a table", table)


def turns_html(turns: NDArray[np.uint16]) -> str:
    """How many messages the rows have, as lines with bars; a sentence when all rows are alike."""
    sizes, counts = np.unique(turns, return_counts=True)
    if len(sizes) == 1:
        return f'<p class="lg-help">Every row has {count(int(sizes[0]), "message")}.</p>'
    shown = [(f"{size:,}", int(number)) for size, number in zip(sizes, counts)]
    if len(shown) > _TURNS_SHOWN:
        rest = sum(number for _, number in shown[_TURNS_SHOWN - 1 :])
        shown = [*shown[: _TURNS_SHOWN - 1], (f"{int(sizes[_TURNS_SHOWN - 1]):,} or more", rest)]
    top = max(number for _, number in shown)
    rows = "".join(
        f'<tr><th scope="row">{size}</th>'
        f'<td><span style="width:{max(0.5, 100 * number / top):.1f}%"></span></td>'
        f"<td>{number:,}</td></tr>"
        for size, number in shown
    )
    return (
        '<table class="lg-turns"><thead><tr><th scope="col">Messages</th><td></td><th scope="col">Rows</th>'
        f"</tr></thead><tbody>{rows}</tbody></table>"
    )
