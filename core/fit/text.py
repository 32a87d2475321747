"""What `fit` prints: every term with its bar, the verdict, what would make it fit, and time and energy."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from core.fit.kinds import Fit
from core.hardware import GIB
from core.memory import MemoryEstimate
from core.memory.search import Step

_WIDTH = 96
_BAR = 36
_VERDICTS = {
    "fits": "it fits",
    "tight": "it is tight: other programs on the card may break it",
    "no": "it does not fit",
}


def print_fit(found: Fit) -> None:
    """The whole answer for a terminal, in ASCII where it draws."""
    for line in lines(found):
        print(line, flush=True)


def lines(found: Fit) -> Iterator[str]:
    yield from _heading(found)
    yield ""
    yield from _terms(found.estimate)
    yield ""
    yield from _paragraph(_verdict(found))
    yield from _facts(found)
    if found.suggestions:
        yield from _steps("Make it fit:", found.suggestions, found)
    if found.room:
        yield from _steps("Use the room, for speed:", found.room, found)


def _heading(found: Fit) -> Iterator[str]:
    spec, work, place = found.spec, found.workload, found.place
    guessed = "" if spec.exact else ", shapes guessed"
    yield f"{spec.name}: {spec.architecture}, {spec.parameters / 1e9:.2f} B parameters{guessed}"
    base = {"nf4": "base in 4 bits", "int8": "base in 8 bits"}.get(
        work.quantization, f"base in {work.bits} bits"
    )
    yield from _paragraph(
        f"{_method(work.method)} of rank {work.rank} on {', '.join(work.target_modules)}, {base}; "
        f"{work.micro_batch} x {work.max_length:,} tokens at once, accumulated over {work.accumulate}; "
        f"{work.optimizer}, checkpointing {work.checkpointing}, engine {work.backend}"
    )
    where, whole = (place.gpu.name, place.gpu.total) if place.gpu else ("CPU and its memory", place.ram)
    yield f"{where}: {_gib(place.usable)} of {_gib(whole)} for a training"


def _method(name: str) -> str:
    """As the field writes it."""
    return {"lora": "LoRA", "qlora": "QLoRA", "dora": "DoRA", "qdora": "QDoRA", "full": "All weights,"}.get(
        name, name
    )


def _terms(estimate: MemoryEstimate) -> Iterator[str]:
    shown = [(term.title, term.bytes) for term in estimate.terms if term.bytes > 0]
    if estimate.correction != 1:
        shown.append(("Correction", estimate.total - sum(term.bytes for term in estimate.terms)))
    whole = max(estimate.total, estimate.usable, 1)
    width = max(len(title) for title, _ in shown)
    for title, size in shown:
        bar = "#" * round(_BAR * max(size, 0) / whole)
        yield f"  {title:<{width}}  {_gib(size):>10}  {bar}".rstrip()
    bar = "#" * round(_BAR * estimate.total / whole)
    full = "." * (round(_BAR * estimate.usable / whole) - len(bar))
    yield f"  {'Total':<{width}}  {_gib(estimate.total):>10}  {bar}{full}"


def _verdict(found: Fit) -> str:
    estimate, largest = found.estimate, found.estimate.largest
    if found.refusal:
        return f"This card can't train. {found.refusal}"
    share = estimate.total / estimate.usable if estimate.usable else float("inf")
    why = largest.why[0].lower() + largest.why[1:].rstrip(".")
    return (
        f"{_gib(estimate.total)} of {_gib(estimate.usable)} ({share:.0%}): {_VERDICTS[estimate.verdict]}. "
        f"Most of it is “{largest.title}”: {why}."
    )


def _facts(found: Fit) -> Iterator[str]:
    estimate = found.estimate
    share = estimate.trainable / max(estimate.parameters, 1)
    yield f"Trained: {estimate.trainable:,} of {estimate.parameters:,} parameters ({share:.2%})."
    beside = f"{_gib(estimate.host_ram)} of the computer's memory and " if found.place.gpu else ""
    yield f"Beside it: {beside}{_gib(estimate.disk)} on the disk (base, checkpoints, merged, GGUF)."
    if found.correction.runs:
        yield from _paragraph(f"Corrected: {found.correction.reason} Take it back with --forget-measured.")
    for note in estimate.notes:
        yield from _paragraph(f"Note: {note}")
    yield from _data(found)
    yield from _time(found)


def _data(found: Fit) -> Iterator[str]:
    if found.data is None:
        return
    p95, p99, longest = found.data.lengths
    note = f" ({found.data.note})" if found.data.note else ""
    yield from _paragraph(
        f"Data: {found.data.rows:,} rows to train on; 95 % of them have at most {p95:,} tokens, 99 % at "
        f"most {p99:,}, the longest {longest:,}{note}."
    )


def _time(found: Fit) -> Iterator[str]:
    trust = f"right within a factor of {found.speed.spread:g}"
    if found.time is None:
        yield from _paragraph(f"Speed: {found.speed.source} ({trust}). With --data also time and energy.")
        return
    time = found.time
    yield from _paragraph(
        f"Time: {time.steps:,} steps, {time.tokens:,} tokens, about {_duration(time.seconds.likely)} "
        f"({_duration(time.seconds.low)} to {_duration(time.seconds.high)}) and {time.kwh.likely:.2g} kWh "
        f"({time.kwh.low:.2g} to {time.kwh.high:.2g}); {found.speed.source}."
    )


def _duration(seconds: float) -> str:
    """With no more digits than an estimate has."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{float(f'{seconds / length:.2g}'):g} {unit}"
    return f"{float(f'{max(seconds, 1):.2g}'):g} seconds"


def _steps(title: str, steps: Iterable[Step], found: Fit) -> Iterator[str]:
    yield ""
    yield title
    for step in steps:
        changed = f"saves {_gib(step.saves)}" if step.saves >= 0 else f"takes {_gib(-step.saves)}"
        yield from _paragraph(f"- {step.words}: {_gib(step.total)} ({changed})", "    ")
    if steps and found.suggestions is steps and found.suggestions[-1].total > found.estimate.usable:
        yield from _paragraph("Even so it does not fit here: take a smaller model or a larger card.")


def _paragraph(text: str, hanging: str = "  ") -> list[str]:
    first = hanging[:-2]
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=hanging)


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
