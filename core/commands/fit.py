"""`fit`: what a training would take, term by term, before it starts. Reads shapes, loads no library."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from core.base.errors import UserError
from core.base.home import Home
from core.commands.fit_arguments import workload_asked
from core.commands.fit_json import to_json
from core.commands.fit_text import print_fit
from core.fit import Place, Workload
from core.fit.answer import Fit
from core.fit.data import Data, read_data
from core.fit.energy import watts
from core.fit.fitting import estimator, smaller_models
from core.fit.measured import correction, reset_measured
from core.fit.run_time import RunTime, run_time
from core.fit.search import make_it_fit, use_the_room
from core.fit.speed import Speed, speed_here
from core.fit.steps import rows_seen, steps_of
from core.machine import Hardware, card_named, find_hardware, inability, refusal
from core.models import ModelSpec, find_spec


def fit(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """Estimate, print, and return the numbers. What does not fit is an answer, no error."""
    hardware = find_hardware(home.root, drivers=args.gpu is None)
    place = _place(args.gpu, hardware)
    if args.forget_measured:
        _forget(home, place)
    if args.calibrate:
        _calibrate(home)
    spec = find_spec(home, args.model)
    workload = workload_asked(args, spec, place)
    data = read_data(home, args.data, args.model, workload.max_length) if args.data else None
    if data is not None:
        workload = replace(workload, longest=data.lengths.longest)
    found = _fit(home, hardware, place, spec, workload, data, args)
    print_fit(found)
    return to_json(found)


def _fit(
    home: Home,
    hardware: Hardware,
    place: Place,
    spec: ModelSpec,
    workload: Workload,
    data: Data | None,
    args: argparse.Namespace,
) -> Fit:
    known = correction(home, place)
    estimate = estimator(place, known.factor)
    estimated = estimate(spec, workload)
    lengths, models = data.lengths if data else None, smaller_models()
    speed = speed_here(home, spec, workload, place, hardware)
    refused = _refusal(place, hardware)
    return Fit(
        spec=spec,
        workload=workload,
        place=place,
        estimate=estimated,
        correction=known,
        refusal=refused,
        notes=(*estimated.notes, *(_about_this_machine(hardware) if args.gpu is None else ())),
        suggestions=[] if refused else make_it_fit(spec, workload, place, estimate, lengths, models),
        room=[] if refused else use_the_room(spec, workload, place, estimate),
        speed=speed,
        data=data,
        time=_time(data, workload, speed, place, hardware, args.epochs) if data else None,
    )


def _place(name: str | None, hardware: Hardware) -> Place:
    """The card called so, the CPU, or where this machine would train."""
    if name is None:
        return Place.of(hardware)
    if name.strip().lower() == "cpu":
        return Place.of(replace(hardware, gpus=()))
    return Place.of(hardware, card_named(name))


def _forget(home: Home, place: Place) -> None:
    try:
        reset_measured(home, place)
    except OSError as error:
        raise UserError(f"What runs have measured in {home.root} can't be changed: {error}.") from error


def _calibrate(home: Home) -> None:
    """Measure this machine now, and wait for it."""
    from core.commands.follow import follow
    from core.fit.calibration import calibration_job, start_calibration

    follow(calibration_job(home), lambda: start_calibration(home))


def _refusal(place: Place, hardware: Hardware) -> str:
    """Why the card can't train; one that is only named is not judged by what is installed here."""
    if place.gpu is None:
        return ""
    here = hardware if place.gpu in hardware.gpus else replace(hardware, torch="")
    return inability(place.gpu, here) or ""


def _about_this_machine(hardware: Hardware) -> Iterator[str]:
    """What could not be found out, and why none of the cards here is used."""
    yield from hardware.problems
    if hardware.training_gpu is None and hardware.best_gpu is not None:
        yield refusal(hardware.best_gpu, hardware) or ""


def _time(
    data: Data, workload: Workload, speed: Speed, place: Place, hardware: Hardware, epochs: float
) -> RunTime:
    rows = workload.micro_batch * workload.accumulate
    steps = steps_of(data.rows, rows, epochs)
    tokens = rows_seen(steps, rows, data.rows) * data.tokens_a_row
    return run_time(steps, tokens, speed, watts(place.gpu, hardware.cores))
