"""Numbers as people say them: bytes, times, counts, memory, energy, verdicts."""

from __future__ import annotations

import re

from core.base.jobs import JobState
from core.fit import MemoryEstimate, Place, Verdict
from core.machine import GIB

MIB = 1 << 20
VERDICTS: dict[Verdict, tuple[str, str]] = {
    "fits": ("ok", "Fits"),
    "tight": ("warn", "Tight"),
    "no": ("bad", "Doesn’t fit"),
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


def size(count: float) -> str:
    """Bytes of a file: 890 kB, 101 MB, 5.3 GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            value = count / scale
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{count:.0f} bytes"


def memory(count: float) -> str:
    """Bytes of memory in the unit that cards are sold in: 1 GB is 1024³ bytes."""
    if count < 0.0995 * GIB:
        return f"{count / MIB:.0f} MB"
    return f"{count / GIB:.1f} GB" if count < 99.5 * GIB else f"{count / GIB:,.0f} GB"


def of_memory(count: float, usable: float) -> str:
    """How much of how much: 5.3 of 7.2 GB."""
    part, whole = memory(count), memory(usable)
    return f"{part.removesuffix(' ' + whole[-2:])} of {whole}"


def duration(seconds: float) -> str:
    """8 s, 2 min 40 s, 3 h 5 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min" if whole % 3600 >= 60 else f"{whole // 3600} h"


def rounded(seconds: float) -> str:
    """A time with no more digits than an estimate has."""
    if seconds < 60:
        return duration(max(5, round(seconds / 5) * 5))
    if seconds < 600:
        return duration(round(seconds / 60) * 60)
    return duration(round(seconds / 300) * 300 if seconds < 7200 else round(seconds / 3600) * 3600)


def between(low: str, high: str) -> str:
    """Two numbers with their units, a common unit named once: 3 to 4 min, 50 s to 2 min."""
    number, _, unit = low.partition(" ")
    same = unit != "" and high.endswith(f" {unit}") and high.count(" ") == 1
    return low if low == high else f"{number if same else low} to {high}"


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun: 1 row, 1,200 rows."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def short(number: float) -> str:
    """A large number in few digits: 950, 12 k, 3.4 M."""
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= scale:
            value = number / scale
            return f"{value:.1f} {unit}" if value < 10 else f"{value:,.0f} {unit}"
    return f"{number:.0f}"


def energy(kwh: float) -> str:
    """Energy with no more digits than it is worth: 4 Wh, 0.3 kWh, 12 kWh."""
    if kwh < 0.1:
        return f"{float(f'{kwh * 1000:.1g}'):g} Wh"
    return f"{float(f'{kwh:.2g}' if kwh >= 1 else f'{kwh:.1g}'):g} kWh"


def people(parameters: int) -> str:
    """A parameter count: 135M, 1.5B; empty where it is not known."""
    if not parameters:
        return ""
    return f"{parameters / 1e6:.0f}M" if parameters < 1e9 else f"{parameters / 1e9:.1f}B"


def context(tokens: int) -> str:
    """How much a model reads, as its publishers say it: 32k tokens."""
    return f"{tokens // 1024}k tokens" if tokens % 1024 == 0 else f"{tokens:,} tokens"


def deviation(ratio: float) -> str:
    """How far a measurement is from what was expected: 12% more, 3% less, the same."""
    off = ratio - 1
    return f"{abs(off):.0%} {'more' if off > 0 else 'less'}" if abs(off) >= 0.005 else "the same"


def percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "< 1%"


def slug(text: str) -> str:
    """A name as part of an id: “e-mail addresses” → “e-mail-addresses”."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def clipped(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def last_part(path: str) -> str:
    """The last part of a path or an id."""
    return path.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]


def inside(title: str) -> str:
    """A title inside a sentence; abbreviations and names stay large."""
    return title if title[:2].isupper() or title.startswith("Unsloth") else title[:1].lower() + title[1:]


def short_name(card: str) -> str:
    """A card's name without its maker: NVIDIA GeForce RTX 4060 → RTX 4060."""
    for word in _MAKERS:
        card = card.replace(word, "")
    return card.strip()


def where(place: Place) -> str:
    """Whose memory it is."""
    return f"on the {short_name(place.gpu.name)}" if place.gpu else "of this computer’s memory"


def room(estimate: MemoryEstimate) -> str:
    """How much is left, or how much too much it is."""
    left = estimate.usable - estimate.total
    return f"{memory(left)} to spare" if left >= 0 else f"{memory(-left)} too much"


def largest(estimate: MemoryEstimate, packed: bool, packing_helps: bool = True) -> str:
    """What dominates, and what would change that. `packed`: the base model is kept in 4 bits; else
    `packing_helps` says whether that would take less here."""
    if not estimate.terms or not estimate.total:
        return "Nothing is known about the memory of this model."
    term = estimate.largest
    taken = term.bytes * estimate.correction
    share = taken / estimate.total
    head = "Most of it is" if share >= 0.5 else "The largest part is"
    advice = _HELPS.get(term.key, "")
    if term.key == "weights" and (packed or not packing_helps):
        advice = _PACKED if packed else _NOT_TO_BE_PACKED
    return f"{head} the {inside(term.title)}: {memory(taken)}, {share:.0%}. {advice}".strip()


def hub_id(text: str) -> str:
    """The id in what was typed: `owner/name`, also when an address of its page was pasted."""
    _, scheme, address = text.strip().partition("://")
    parts = address.split("?")[0].split("#")[0].split("/")[1:]
    if parts[:1] in (["datasets"], ["models"]):
        parts = parts[1:]
    return "/".join(parts[:2]) if scheme and len(parts) >= 2 else text.strip()


def download_words(job: JobState) -> str:
    """What a download does now."""
    done, total, rate, left = (job.fields.get(name) or 0 for name in ("bytes", "total", "rate", "left_s"))
    if job.stage.startswith("checking"):
        return f"{job.stage.capitalize()} against the hub’s sizes and hashes"
    if not total:
        return f"Download: {job.stage or 'starting'}"
    words = f"Downloading: {size(done)} of {size(total)}"
    return f"{words}, {size(rate)}/s, {duration(left)} left" if rate and left else words
