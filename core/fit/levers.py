"""The levers of the search: what each knob can be turned to, and what that means in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import Any, NamedTuple

from core.fit.workload import Place, Workload
from core.models.spec import ModelSpec

# lengths are multiples of this many tokens; shorter ones than the shortest leave little to learn from
_ROUND = 64
_SHORTEST = 512
_LOWEST_RANK = 8
# cards that bitsandbytes has 4-bit and 8-bit kernels for
WITH_8_BIT = ("nvidia", "amd")
_WITH_4_BIT = (*WITH_8_BIT, "intel")

Change = dict[str, Any]


class Lengths(NamedTuple):
    """Row lengths of the data in tokens: 95 % and 99 % of the rows are no longer, and the longest."""

    p95: int
    p99: int
    longest: int


@dataclass(frozen=True)
class Situation:
    """Where a search starts: model, workload as asked for, place, and the data's lengths if known."""

    spec: ModelSpec
    workload: Workload
    place: Place
    lengths: Lengths | None


@dataclass(frozen=True)
class Lever:
    """One knob (or two that belong together): its options, mildest first, and one of them in words."""

    options: Callable[[Situation], list[Change]]
    words: Callable[[Situation, Change], str]


def _checkpointing(at: Situation) -> list[Change]:
    ways = ["none", "hf", "unsloth"]
    later = ways[ways.index(at.workload.checkpointing) + 1 :]
    # Unsloth's moves activations to the host's memory: on a CPU they are there already
    usable = later if at.place.gpu is not None and at.workload.backend == "unsloth" else later[:1]
    return [{"checkpointing": way} for way in usable if way != "unsloth" or at.place.gpu is not None]


def _checkpointing_words(at: Situation, change: Change) -> str:
    if change["checkpointing"] == "none":
        return "No gradient checkpointing: nothing is computed twice"
    if at.workload.checkpointing == "none":
        whose = (
            "Unsloth's gradient checkpointing"
            if change["checkpointing"] == "unsloth"
            else "Gradient checkpointing"
        )
        return f"{whose}: activations are computed again instead of kept, slower by up to half"
    if change["checkpointing"] == "unsloth":
        return "Unsloth's gradient checkpointing: what is kept waits in the host's memory"
    return "Gradient checkpointing without the detour through the host's memory"


def _smaller_batches(at: Situation) -> list[Change]:
    return [
        change
        for change in reversed(_batches(at.workload))
        if change["micro_batch"] < at.workload.micro_batch
    ]


def _larger_batches(at: Situation) -> list[Change]:
    # a CPU is busy with one row already
    if at.place.gpu is None:
        return []
    now = at.workload.micro_batch
    return [change for change in _batches(at.workload) if change["micro_batch"] > now]


def _batches(workload: Workload) -> list[Change]:
    """Every split of the same effective batch, smallest micro-batch first."""
    rows = workload.micro_batch * workload.accumulate
    lower = [n for n in range(1, isqrt(rows) + 1) if rows % n == 0]
    return [
        {"micro_batch": n, "accumulate": rows // n} for n in sorted({*lower, *(rows // n for n in lower)})
    ]


def _batch_words(at: Situation, change: Change) -> str:
    rows = change["micro_batch"] * change["accumulate"]
    return (
        f"Micro-batch {at.workload.micro_batch} → {change['micro_batch']}, accumulated over "
        f"{change['accumulate']}: still {rows} rows a step"
    )


def _optimizer(at: Situation) -> list[Change]:
    if not _on(at, WITH_8_BIT):
        return []
    smaller = ["adamw_8bit", "paged_adamw_8bit"]
    if at.workload.optimizer in smaller:
        smaller = smaller[smaller.index(at.workload.optimizer) + 1 :]
    return [{"optimizer": name} for name in smaller]


def _optimizer_words(at: Situation, change: Change) -> str:
    if change["optimizer"].startswith("paged"):
        return "Paged 8-bit optimizer: its state can move to the host's memory"
    return "8-bit optimizer: its state takes a quarter"


def _double_quantization(at: Situation) -> list[Change]:
    wanted = at.workload.quantization == "nf4" and not at.workload.double_quantization
    return [{"double_quantization": True}] if wanted else []


def _attention(at: Situation) -> list[Change]:
    return [{"attention": "auto"}] if at.workload.attention == "eager" else []


def _to_the_longest(at: Situation) -> list[Change]:
    if at.lengths is None:
        return []
    length = _rounded(at.lengths.longest)
    return [{"max_length": length}] if length < at.workload.max_length else []


def _to_the_longest_words(at: Situation, change: Change) -> str:
    return f"{_length_change(at, change)}: still longer than your longest row, nothing is cut"


def _shorter(at: Situation) -> list[Change]:
    if at.lengths is None:
        return []
    now = min(at.workload.max_length, _rounded(at.lengths.longest))
    wanted = dict.fromkeys(_rounded(length) for length in (at.lengths.p99, at.lengths.p95))
    return [{"max_length": length} for length in wanted if length < now]


def _shorter_words(at: Situation, change: Change) -> str:
    whole = at.lengths is None or change["max_length"] >= at.lengths.p99
    return f"{_length_change(at, change)}: {99 if whole else 95}% of your rows stay whole"


def _halved(at: Situation) -> list[Change]:
    now = at.workload.max_length
    if at.lengths is not None:
        return []
    shorter = [now >> times for times in range(1, now.bit_length())]
    return [{"max_length": length} for length in shorter if length >= _SHORTEST]


def _halved_words(at: Situation, change: Change) -> str:
    return f"{_length_change(at, change)}: longer rows are cut off there"


def _length_change(at: Situation, change: Change) -> str:
    return f"Maximum length {at.workload.max_length:,} → {change['max_length']:,}"


def _four_bits(at: Situation) -> list[Change]:
    possible = at.place.gpu is None or _on(at, _WITH_4_BIT)
    packed = [{"quantization": "nf4"}] if possible and at.workload.quantization == "none" else []
    if at.workload.trains_everything:
        return [{"method": "lora"}, *({"method": "lora", **change} for change in packed)]
    return packed


def _four_bits_words(at: Situation, change: Change) -> str:
    if "method" not in change:
        return "The frozen base in 4 bits" + (" (QLoRA)" if at.workload.kind == "lora" else "")
    whose = "in 4 bits (QLoRA)" if "quantization" in change else "(LoRA)"
    return f"An adapter beside the frozen base {whose}, instead of training all weights"


def _offload(at: Situation) -> list[Change]:
    possible = _on(at, WITH_8_BIT) and not at.workload.offload_embedding
    return [{"offload_embedding": True}] if possible else []


def _rank(at: Situation) -> list[Change]:
    now = at.workload.rank
    return [{"rank": rank} for times in range(1, now.bit_length()) if (rank := now >> times) >= _LOWEST_RANK]


def _no_offload(at: Situation) -> list[Change]:
    return [{"offload_embedding": False}] if at.workload.offload_embedding else []


def _whole_base(at: Situation) -> list[Change]:
    # a model that is stored in 4 bits has no others
    possible = at.workload.quantization != "none" and at.spec.stored != "nf4"
    return [{"quantization": "none"}] if possible else []


def _less_checkpointing(at: Situation) -> list[Change]:
    ways = ["none", "hf", "unsloth"]
    return [{"checkpointing": way} for way in reversed(ways[: ways.index(at.workload.checkpointing)])]


def _rounded(length: int) -> int:
    """Up to the next multiple of 64."""
    return max(_ROUND, -(-length // _ROUND) * _ROUND)


def _on(at: Situation, vendors: tuple[str, ...]) -> bool:
    return at.place.gpu is not None and at.place.gpu.vendor in vendors


def _says(sentence: str) -> Callable[[Situation, Change], str]:
    return lambda at, change: sentence.format(at=at.workload, **change)


_CHECKPOINTING = Lever(_checkpointing, _checkpointing_words)
_SMALLER_BATCHES = Lever(_smaller_batches, _batch_words)
_OPTIMIZER = Lever(_optimizer, _optimizer_words)
_ATTENTION = Lever(_attention, _says("Fused attention: no table of tokens × tokens is kept"))
_DOUBLE = Lever(_double_quantization, _says("Double quantization: 0.4 bits less a weight"))
_TO_THE_LONGEST = Lever(_to_the_longest, _to_the_longest_words)
FOUR_BITS = Lever(_four_bits, _four_bits_words)
_SHORTER = Lever(_shorter, _shorter_words)
_OFFLOAD = Lever(_offload, _says("The token embedding waits in the computer's memory"))
_HALVED = Lever(_halved, _halved_words)
_RANK = Lever(_rank, _says("Rank {at.rank} → {rank}: a smaller adapter, which can learn less"))

# nothing is lost but time
FREE = (_CHECKPOINTING, _SMALLER_BATCHES, _OPTIMIZER, _ATTENTION, _DOUBLE, _TO_THE_LONGEST, _OFFLOAD)
# each costs a little quality, the first the least: 4-bit bases train as well as 16-bit ones
# (QLoRA, arXiv 2305.14314, section 4)
WITH_A_PRICE = (FOUR_BITS, _SHORTER, _HALVED, _RANK)
# as they are shown, what costs quality last
ORDER = (*FREE[:-1], FOUR_BITS, _SHORTER, _OFFLOAD, _HALVED, _RANK)
# the other way, for speed
ROOM = (
    Lever(_no_offload, _says("The token embedding stays on the card")),
    Lever(_less_checkpointing, _checkpointing_words),
    Lever(_larger_batches, _batch_words),
    Lever(_whole_base, _says("The frozen base unquantized (LoRA): no weight is unpacked while it trains")),
)
