"""The run's estimate before its first step, and at its end the measured peak beside it, for later ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from core.base.home import Home
from core.base.jobs import Worker
from core.fit import MemoryEstimate, Place, Workload, estimate_memory
from core.fit.cost import operations_per_token
from core.fit.measured import Measured, correction, note_measured, place_name
from core.machine import find_hardware
from core.models import ModelSpec, spec_of_folder
from core.train.engine import Setup


@dataclass(frozen=True)
class Planned:
    """What the run was expected to take: `estimate` is the formula's own, without a correction."""

    spec: ModelSpec
    workload: Workload
    place: Place
    estimate: MemoryEstimate
    factor: float
    rows: int

    @property
    def expected(self) -> int:
        """Bytes, corrected by the runs before."""
        return round(self.estimate.total * self.factor)

    def note(self, home: Home, run: str, peak: int, steps: int, tokens_per_s: float) -> None:
        """Keep the measured peak and speed, if every row was computed once: the longest makes the peak."""
        if steps * self.workload.micro_batch * self.workload.accumulate < self.rows:
            return
        note_measured(home, self._entry(run, peak, tokens_per_s))

    def _entry(self, run: str, peak: int, tokens_per_s: float) -> Measured:
        work = self.workload
        return Measured(
            run=run,
            day=date.today().isoformat(),
            model=self.spec.name,
            parameters=self.spec.parameters,
            card=place_name(self.place),
            quantization=work.quantization,
            checkpointing=work.checkpointing,
            backend=work.backend,
            max_length=work.max_length,
            estimated=self.estimate.total,
            measured=peak,
            tokens_per_s=tokens_per_s,
            work=tokens_per_s * operations_per_token(self.spec, work, self.place.gpu),
        )


def plan_run(worker: Worker, home: Home, setup: Setup, lengths: Sequence[int]) -> Planned | None:
    """The estimate with what is known by now: the engine, the precision, the rows.

    An estimate must not end a run that would go well, so what goes wrong with it is said as a warning.
    """
    try:
        return _plan(home, setup, lengths)
    except Exception as error:
        worker.say("warning", message=f"The memory of this run could not be estimated: {error}")
        return None


def _plan(home: Home, setup: Setup, lengths: Sequence[int]) -> Planned:
    hardware = find_hardware(home.root)
    place = Place.of(replace(hardware, gpus=()) if setup.device == "cpu" else hardware)
    spec = spec_of_folder(setup.model_folder)
    workload = Workload.of(setup.recipe, max(lengths, default=None))
    estimate = estimate_memory(spec, workload, place)
    return Planned(spec, workload, place, estimate, correction(home, place).factor, len(lengths))
