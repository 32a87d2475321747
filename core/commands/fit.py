"""Say what a training would take, term by term, before it starts.

Reads shapes, loads no library.
"""

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
from core.commands.follow import follow
from core.fit import Place, Workload
from core.fit.answer import Fit
from core.fit.calibration import calibration_job, start_calibration
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--model",
        required=True,
        metavar="DIR|ID|config.json",
        help="the base model; `starter` is the embedded one",
    )
    add("--gpu", metavar="NAME|GIB", help="a card, as in `RTX 3060` or 12, or cpu (default: this machine)")
    add("--data", metavar="FILE", help="your data: its row lengths, and with them time and energy")
    add(
        "--method",
        metavar="NAME",
        help="qlora, lora, or another that PEFT has (default: qlora; lora on CPUs and Apple's GPUs)",
    )
    add("--rank", type=int, metavar="N", default=16, help="rank of the adapter (default: 16)")
    add("--dropout", type=float, metavar="X", default=0.0, help="dropout on the adapter's input (default: 0)")
    add(
        "--target-modules",
        metavar="NAMES",
        default="all-linear",
        help="layers with an adapter, as q,v (default: all-linear)",
    )
    add("--max-length", type=int, metavar="N", help="longest row in tokens (default: 2048; 512 on CPUs)")
    add("--batch", type=int, metavar="N", default=1, help="micro-batch: rows computed at once (default: 1)")
    add("--accumulate", type=int, metavar="N", default=16, help="micro-batches a step (default: 16)")
    add(
        "--epochs",
        type=float,
        metavar="X",
        default=3.0,
        help="how often every row is seen, for the time (default: 3)",
    )
    add(
        "--optimizer",
        metavar="NAME",
        help="default: adamw_8bit; adamw_torch where bitsandbytes has no kernels",
    )
    add("--checkpointing", choices=("unsloth", "hf", "none"), help="default: the engine's own; none on CPUs")
    add("--backend", choices=("unsloth", "peft"), help="engine (default: unsloth)")
    add(
        "--precision",
        choices=("auto", "bf16", "fp16", "fp32"),
        default="auto",
        help="of what is not quantized",
    )
    add(
        "--attention",
        choices=("auto", "sdpa", "eager", "flash_attention_2"),
        default="auto",
        help="default: auto, the fastest that the engine finds",
    )
    add(
        "--no-double-quantization",
        action="store_true",
        help="4-bit constants stay whole: 0.4 bits more a weight",
    )
    add("--offload-embedding", action="store_true", help="the token embedding waits in the computer's memory")
    add(
        "--loss",
        choices=("whole", "pieces"),
        help="what other programs do: all logits at once, or piece by piece (default: as the engine does)",
    )
    add(
        "--adapter-bits", type=int, choices=(16, 32), default=32, help="other programs' adapters have 16 bits"
    )
    add("--rest-bits", type=int, choices=(16, 32), help="of embeddings and norms, where others convert them")
    add("--calibrate", action="store_true", help="first measure this machine's speed (some ten seconds)")
    add("--forget-measured", action="store_true", help="drop the correction by runs measured on this machine")


def run(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """Estimate, print, and return the numbers. What does not fit is an answer, no error."""
    hardware = find_hardware(home.root, drivers=args.gpu is None)
    place = _place(args.gpu, hardware)
    if args.forget_measured:
        _forget(home, place)
    if args.calibrate:
        _calibrate(home)
    spec = find_spec(home, args.model, print)
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
