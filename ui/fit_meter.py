"""The fit meter: verdict, total, bar, and the largest part in a sentence; the same small for the card."""

from __future__ import annotations

from core.fit import MemoryEstimate
from core.fit.fitting import four_bits_help, workload_of
from ui.fit import Fit
from ui.fit_bar import bar_html, scale_html
from ui.fit_words import largest_words, of_memory, room_words, verdict_html, where_words
from ui.html import esc


def meter_html(fit: Fit) -> str:
    """The meter without its table."""
    estimate = fit.estimate
    total = of_memory(estimate.total, estimate.usable)
    room = esc(f"{where_words(fit.place)}, {room_words(estimate)}")
    return (
        f'<div class="lg-fit-head"><h3>Will it fit?</h3>{verdict_html(estimate.verdict)}</div>'
        f'<p class="lg-fit-total"><b>{total}</b> <span>{room}</span></p>'
        f"{bar_html(estimate)}{scale_html(estimate)}"
        f'<p class="lg-fit-why">{esc(_why(fit))}</p>'
    )


def _why(fit: Fit) -> str:
    """What dominates."""
    packed = fit.recipe.quantization != "none"
    helps = packed or four_bits_help(fit.spec, workload_of(fit.recipe, fit.place), fit.place)
    return largest_words(fit.estimate, packed, helps)


def small_html(estimate: MemoryEstimate) -> str:
    """The meter in one line and a thin bar."""
    words = of_memory(estimate.total, estimate.usable)
    return f"<b>{words}</b> {verdict_html(estimate.verdict)}{bar_html(estimate, small=True)}"
