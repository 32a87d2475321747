"""What `fit` prints: every term with its bar, the verdict, what would make it fit, and time and energy."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from core.fit import MemoryEstimate, Place, Workload
from core.fit.adapter import SOFT_PROMPTS
from core.fit.answer import Fit
from core.fit.run_time import Range
from core.fit.search import Step
from core.machine import GIB

# a terminal has 80 columns at least
_WIDTH = 79
_BAR = 36
_METHODS = {"lora": "LoRA", "qlora": "QLoRA", "dora": "DoRA", "qdora": "QDoRA", "ia3": "IA3"}
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
        yield from _steps("Make it fit:", found.suggestions)
    yield from _still_too_much(found)
    if found.room:
        yield from _steps("Use the room, for speed:", found.room)


def _heading(found: Fit) -> Iterator[str]:
    spec, work, place = found.spec, found.workload, found.place
    guessed = "" if spec.exact else ", shapes guessed"
    kind = f"{spec.architecture}, " if spec.architecture else ""
    yield from _paragraph(f"{spec.name}: {kind}{spec.parameters / 1e9:.2f} B parameters{guessed}")
    yield from _paragraph(
        f"{_trained(work)}; {work.micro_batch} x {work.max_length:,} tokens at once, accumulated over "
        f"{work.accumulate}; {work.optimizer}, checkpointing {work.checkpointing}, engine {work.backend}"
    )
    where, whole = (place.gpu.name, place.gpu.total) if place.gpu else ("CPU and its memory", place.ram)
    yield from _paragraph(f"{where}: {_gib(place.usable)} of {_gib(whole)} for a training")


def _trained(work: Workload) -> str:
    """What is trained, and on what."""
    bits = {"nf4": 4, "int8": 8}.get(work.quantization, work.bits)
    if work.trains_everything:
        return f"All weights, in {bits} bits"
    name, base = _METHODS.get(work.method, work.method), f"base in {bits} bits"
    if work.kind in SOFT_PROMPTS:
        return f"{name} of {work.virtual_tokens} tokens, {base}"
    rank = "" if work.kind == "ia3" else f" of rank {work.rank}"
    layers = "all linear layers" if work.target_modules == ("all-linear",) else ", ".join(work.target_modules)
    return f"{name}{rank} on {layers}, {base}"


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
    share = f" ({estimate.total / estimate.usable:.0%})" if estimate.usable else ""
    most = "Most of it" if 2 * largest.bytes * estimate.correction >= estimate.total else "The largest part"
    why = largest.why[0].lower() + largest.why[1:].rstrip(".")
    return (
        f"{_gib(estimate.total)} of {_gib(estimate.usable)}{share}: {_VERDICTS[estimate.verdict]}. "
        f"{most} is “{largest.title}”: {why}."
    )


def _facts(found: Fit) -> Iterator[str]:
    estimate = found.estimate
    share = estimate.trainable / max(estimate.parameters, 1)
    yield f"Trained: {estimate.trainable:,} of {estimate.parameters:,} parameters ({share:.2%})."
    beside = f"{_gib(estimate.host_ram)} of the computer's memory and " if found.place.gpu else ""
    yield from _paragraph(
        f"Beside it: {beside}{_gib(estimate.disk)} on the disk (base, checkpoints, merged, GGUF)."
    )
    if found.correction.runs:
        yield from _paragraph(f"Corrected: {found.correction.reason} Take it back with --forget-measured.")
    for note in found.notes:
        yield from _paragraph(f"Note: {note}")
    yield from _data(found)
    if not found.refusal:
        yield from _time(found)


def _data(found: Fit) -> Iterator[str]:
    if found.data is None:
        return
    p95, p99, longest = found.data.lengths
    note = f" ({found.data.note})" if found.data.note else ""
    rows = "1 row" if found.data.rows == 1 else f"{found.data.rows:,} rows"
    yield from _paragraph(
        f"Data: {rows} to train on; 95% of them have at most {p95:,} tokens, 99% at "
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
        f"({_duration(time.seconds.low)} to {_duration(time.seconds.high)}) and {_energy(time.kwh)}; "
        f"{found.speed.source}."
    )


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{_rough(seconds / length)} {unit}"
    number = _rough(max(seconds, 1))
    return f"{number} second{'s' if number != '1' else ''}"


def _energy(kwh: Range) -> str:
    small = kwh.likely < 0.1
    low, likely, high = (_rough(value * 1000 if small else value) for value in kwh)
    return f"{likely} {'Wh' if small else 'kWh'} ({low} to {high})"


def _rough(number: float) -> str:
    """With no more digits than an estimate has."""
    short = float(f"{number:.2g}")
    return f"{short:,.0f}" if short >= 10 else f"{short:g}"


def _steps(title: str, steps: Iterable[Step]) -> Iterator[str]:
    yield ""
    yield title
    for step in steps:
        changed = f"saves {_gib(step.saves)}" if step.saves >= 0 else f"takes {_gib(-step.saves)}"
        yield from _paragraph(f"- {step.words}: {_gib(step.total)} ({changed})", "    ")


def _still_too_much(found: Fit) -> Iterator[str]:
    least = found.suggestions[-1].total if found.suggestions else found.estimate.total
    if not found.refusal and least > found.estimate.usable:
        yield from _paragraph(
            f"It does not fit here in any way: take a smaller model or {_more(found.place)}."
        )


def _more(place: Place) -> str:
    return "a larger card" if place.gpu else "a computer with more memory"


def _paragraph(text: str, hanging: str = "  ") -> list[str]:
    """Lines for the terminal; names of folders can't send it commands."""
    first, plain = hanging[:-2], "".join(sign if sign.isprintable() else "?" for sign in text)
    return textwrap.wrap(plain, _WIDTH, initial_indent=first, subsequent_indent=hanging)


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
