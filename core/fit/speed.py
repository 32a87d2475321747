"""How fast a training will go here: from runs that were measured, a calibration, or the card's class."""

from __future__ import annotations

from dataclasses import dataclass

from core.base.home import Home
from core.fit.calibration import read_calibration
from core.fit.cost import operations_per_token
from core.fit.measured import Measured, median, place_name, read_measured
from core.fit.rates import A_CORE, card_rate
from core.fit.workload import Place, Workload
from core.machine import Hardware
from core.models.spec import ModelSpec

# how far each kind of number may be off, as a factor: the same model again; another model on the same
# machine; a short measurement of its arithmetic; a guess from the class of the hardware
AGAIN, ANOTHER, CALIBRATED, GUESSED = 1.25, 1.6, 1.6, 3.0
_ASKED = 8
# small models leave a machine waiting for Python: they say nothing of much larger ones
_LIKE_SIZE = 8


@dataclass(frozen=True)
class Speed:
    """Tokens a second, and where the number comes from, as the end of a sentence.

    `spread` is the factor by which it may be off in both directions.
    """

    tokens_per_s: float
    source: str
    measured: bool
    spread: float = GUESSED


def speed_here(home: Home, spec: ModelSpec, workload: Workload, place: Place, hardware: Hardware) -> Speed:
    """The best number that there is for this training on this place."""
    work = operations_per_token(spec, workload, place.gpu)
    runs = [run for run in read_measured(home) if run.card == place_name(place) and run.tokens_per_s > 0]
    same = [run for run in runs if _same(run, spec, workload)]
    if same:
        found = same[-1].tokens_per_s
        return Speed(found, f"as fast as {same[-1].run}, {found:,.0f} tokens/s", True, AGAIN)
    rates = [(run.work, 1.0) for run in runs if run.work > 0 and _alike(run, spec)][-_ASKED:]
    if rates:
        found = median(rates) / work
        return Speed(found, f"as other models did on this machine, {_short(found)} tokens/s", True, ANOTHER)
    measured = read_calibration(home, place)
    if measured is not None:
        found = measured / work
        return Speed(
            found, f"from a short measurement of this machine, {_short(found)} tokens/s", True, CALIBRATED
        )
    return guessed_speed(work, place, hardware)


def guessed_speed(work: float, place: Place, hardware: Hardware) -> Speed:
    """What such hardware does; `work` is operations a token."""
    gpu = place.gpu
    if gpu is None:
        cores = f"{hardware.cores} CPU core{'s' if hardware.cores != 1 else ''}"
        rate, what = A_CORE * hardware.cores, cores
    else:
        rate, what = card_rate(gpu), gpu.name
    return Speed(rate / work, f"a rough {_short(rate / work)} tokens/s for {what}", False, GUESSED)


def _alike(run: Measured, spec: ModelSpec) -> bool:
    """Of a size that keeps the machine as busy."""
    return 1 / _LIKE_SIZE <= run.parameters / max(spec.parameters, 1) <= _LIKE_SIZE


def _same(run: Measured, spec: ModelSpec, workload: Workload) -> bool:
    return (run.model, run.parameters, run.quantization, run.checkpointing, run.backend) == (
        spec.name,
        spec.parameters,
        workload.quantization,
        workload.checkpointing,
        workload.backend,
    )


def _short(number: float) -> str:
    """With no more digits than it is worth."""
    return f"{float(f'{number:.2g}'):,.0f}" if number >= 1 else f"{number:.1g}"
