"""Memory and verdicts in words: 5.3 of 7.2 GB, fits, most of it is the model."""

from __future__ import annotations

from core.fit import MemoryEstimate, Place
from core.fit.workload import Verdict
from core.machine import GIB
from ui.html import Mark

MIB = 1 << 20
_VERDICTS: dict[Verdict, tuple[Mark, str, str]] = {
    "fits": ("ok", "✓", "Fits"),
    "tight": ("warn", "!", "Tight"),
    "no": ("bad", "✗", "Doesn’t fit"),
}
_HELPS = {
    "weights": "Keeping it in 4 bits (QLoRA), or a smaller model, would help most.",
    "unquantized": "It comes with the model: one with a smaller vocabulary has less of it.",
    "adapter": "A lower rank would help most.",
    "gradients": "A lower rank would help most.",
    "optimizer": "An 8-bit optimizer or a lower rank would help most.",
    "activations": "Shorter rows, a smaller micro-batch or gradient checkpointing would help most.",
    "logits": "Shorter rows or a smaller micro-batch would help most.",
    "context": "No setting changes that.",
}
_PACKED = "It is kept in 4 bits already: only a smaller model needs less."
_NOT_TO_BE_PACKED = "4 bits would not help here: only a smaller model needs less."
_MAKERS = ("NVIDIA ", "GeForce ", "AMD ", "Intel(R) ", "Intel ", "(TM)")


def memory(count: float) -> str:
    """Bytes of memory in the unit that cards are sold in: 1 GB is 1024³ bytes."""
    if count < 0.0995 * GIB:
        return f"{count / MIB:.0f} MB"
    return f"{count / GIB:.1f} GB" if count < 99.5 * GIB else f"{count / GIB:,.0f} GB"


def of_memory(count: float, usable: float) -> str:
    """How much of how much: 5.3 of 7.2 GB."""
    part, whole = memory(count), memory(usable)
    return f"{part.removesuffix(' ' + whole[-2:])} of {whole}"


def verdict_words(verdict: Verdict) -> str:
    """fits, tight or no, as the page says it."""
    return _VERDICTS[verdict][2]


def verdict_html(verdict: Verdict) -> str:
    """A sign and a word; the colour only repeats them."""
    mark, sign, word = _VERDICTS[verdict]
    return f'<span class="lg-verdict lg-{mark}"><span aria-hidden="true">{sign}</span> {word}</span>'


def where_words(place: Place) -> str:
    """Whose memory it is."""
    return f"on the {short_name(place.gpu.name)}" if place.gpu else "of this computer’s memory"


def room_words(estimate: MemoryEstimate) -> str:
    """How much is left, or how much too much it is."""
    left = estimate.usable - estimate.total
    return f"{memory(left)} to spare" if left >= 0 else f"{memory(-left)} too much"


def short_name(card: str) -> str:
    """A card's name without its maker: NVIDIA GeForce RTX 4060 → RTX 4060."""
    for word in _MAKERS:
        card = card.replace(word, "")
    return card.strip()


def largest_words(estimate: MemoryEstimate, packed: bool, packing_helps: bool = True) -> str:
    """What dominates, and what would change that. `packed`: the base model is kept in 4 bits; else
    `packing_helps` says whether that would take less here."""
    if not estimate.terms or not estimate.total:
        return "Nothing is known about the memory of this model."
    largest = estimate.largest
    taken = largest.bytes * estimate.correction
    share = taken / estimate.total
    head = "Most of it is" if share >= 0.5 else "The largest part is"
    sentence = f"{head} the {inside(largest.title)}: {memory(taken)}, {share:.0%}."
    advice = _HELPS.get(largest.key, "")
    if largest.key == "weights" and (packed or not packing_helps):
        advice = _PACKED if packed else _NOT_TO_BE_PACKED
    return f"{sentence} {advice}".strip()


def inside(title: str) -> str:
    """A title inside a sentence; abbreviations and names stay large."""
    return title if title[:2].isupper() or title.startswith("Unsloth") else title[:1].lower() + title[1:]
