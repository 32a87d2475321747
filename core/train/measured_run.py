"""The run's estimate before its first step; at its end the measured peak is kept beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.base.home import Home
from core.base.jobs import Worker
from core.fit import Lengths, Place
from core.fit.answer import Fit
from core.machine import find_hardware
from core.methods.settle import Device
from core.models import spec_of_folder
from core.train.engine import Setup


def plan_run(worker: Worker, home: Home, setup: Setup, device: Device, lengths: Sequence[int]) -> Fit | None:
    """The estimate with what is known by now: the device as it was measured, the rows.

    An estimate must not end a run that would go well, so what goes wrong with it is said as a warning.
    """
    try:
        hardware = find_hardware(home.root)
        place = Place.of(replace(hardware, gpus=()) if setup.device == "cpu" else hardware)
        longest = max(lengths, default=setup.recipe.max_length)
        rows = Lengths(longest, longest, longest)
        spec = spec_of_folder(setup.model_folder)
        return Fit.of(home, setup.recipe, spec, replace(place, device=device), rows)
    except Exception as error:
        worker.say("warning", message=f"The memory of this run could not be estimated: {error}")
        return None
