"""The two settings that move memory most, as sliders beside the meter: maximum length and rank."""

from __future__ import annotations

import json

from core.fit.fitting import Lengths
from core.models import ModelSpec
from core.recipe import Recipe
from ui.html import esc

LENGTHS = (128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768)
RANKS = (4, 8, 16, 32, 64, 128, 256)


def knobs_html(recipe: Recipe, spec: ModelSpec | None, lengths: Lengths | None) -> str:
    """Both sliders with their values and what is to be known about them."""
    length = slider_html("max_length", "Maximum length", "tokens", recipe.max_length, _lengths(recipe, spec))
    rank = slider_html("rank", "Rank", "", recipe.rank, stops(RANKS, recipe.rank))
    return (
        '<div class="lg-slides">'
        f"{_with_help('max_length', length, length_words(recipe.max_length, lengths))}"
        f"{_with_help('rank', rank, 'How much the adapter can learn; each doubling doubles its size.')}</div>"
    )


def _lengths(recipe: Recipe, spec: ModelSpec | None) -> list[int]:
    """The lengths to choose among: not beyond what the model reads."""
    context = spec.context if spec is not None and spec.context else LENGTHS[-1]
    return stops([length for length in LENGTHS if length <= context] or LENGTHS[:1], recipe.max_length)


def stops(usual: tuple[int, ...] | list[int], value: int) -> list[int]:
    """The usual values and the present one, in order."""
    return sorted({*usual, value})


def slider_html(name: str, title: str, unit: str, value: int, values: list[int]) -> str:
    """A slider over a list of values; fit.js keeps its words in step with it."""
    identifier = f"fit-{name}"
    words = f"{value:,} {unit}".strip()
    place = values.index(value)
    return (
        f'<label for="{identifier}">{esc(title)}'
        f'<output id="{identifier}-value" for="{identifier}">{words}</output></label>'
        f'<input type="range" id="{identifier}" data-knob="{name}" data-unit="{unit}" '
        f'min="0" max="{len(values) - 1}" '
        f'step="1" value="{place}" data-stops=\'{json.dumps(values)}\' aria-valuetext="{words}" '
        f'aria-describedby="{identifier}-help" style="--at:{place / max(1, len(values) - 1):.4f}">'
    )


def _with_help(name: str, slider: str, words: str) -> str:
    return f'<div class="lg-slide">{slider}<small id="fit-{name}-help">{esc(words)}</small></div>'


def length_words(limit: int, lengths: Lengths | None) -> str:
    """What the data needs, beside what is allowed."""
    if lengths is None:
        return "Longer rows are cut off here. How long yours are is counted once model and data are here."
    need = f"95% of your rows have at most {lengths.p95:,} tokens, the longest {lengths.longest:,}"
    if limit >= lengths.longest:
        return f"{need}: nothing is cut off."
    return f"{need}; longer rows are cut off here."
