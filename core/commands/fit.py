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
from core.commands.fit_text import FitReport, lines, to_json
from core.commands.follow import follow
from core.commands.options import add_knobs, knob_values, method_lines
from core.fit import Place
from core.fit.answer import Fit
from core.fit.calibration import calibration_job, start_calibration
from core.fit.learned import reset_measured
from core.fit.search import smaller_models
from core.machine import Hardware, card_named, find_hardware, inability, refusal
from core.models import find_spec
from core.presets import preset_for

# the knobs that memory and time depend on
KNOBS = (
    "method",
    "quantization",
    "double_quantization",
    "rank",
    "dropout",
    "target_modules",
    "max_length",
    "micro_batch",
    "accumulate",
    "epochs",
    "max_steps",
    "optimizer",
    "checkpointing",
    "engine",
    "precision",
    "attention",
    "offload_embedding",
    "keep_checkpoints",
    "heldout_share",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"methods:\n{method_lines()}"
    add = parser.add_argument
    add(
        "--model",
        required=True,
        metavar="DIR|ID|config.json",
        help="the base model; `starter` is the embedded one",
    )
    add("--gpu", metavar="NAME|GIB", help="a card, as in `RTX 3060` or 12, or cpu (default: this machine)")
    add("--data", metavar="FILE", help="your data: its row lengths, and with them time and energy")
    add("--calibrate", action="store_true", help="first measure this machine's speed (some ten seconds)")
    add("--forget-measured", action="store_true", help="drop the correction by runs measured on this machine")
    add_knobs(parser, KNOBS, "as in the preset for the card")


def run(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """Estimate, print, and return the numbers. What does not fit is an answer, no error."""
    hardware = find_hardware(home.root, drivers=args.gpu is None)
    place = _place(args.gpu, hardware)
    if args.forget_measured:
        _forget(home, place)
    if args.calibrate:
        follow(calibration_job(home), lambda: start_calibration(home))
    spec = find_spec(home, args.model, print)
    recipe = preset_for(place.gpu).recipe(model=args.model, **knob_values(args, KNOBS))
    data = None
    if args.data:
        # only data needs the libraries of its check
        from core.fit.data import read_data
        from core.runs.data import data_split

        data = read_data(home, data_split(recipe.with_changes(data=args.data)), recipe)
    fit = Fit.of(home, recipe, spec, place, data.lengths if data else None)
    refused = _refusal(place, hardware)
    report = FitReport(
        fit=fit,
        refusal=refused,
        notes=(*fit.estimate.notes, *(_about_this_machine(hardware) if args.gpu is None else ())),
        suggestions=[] if refused else fit.make_it_fit(smaller_models()),
        room=[] if refused else fit.use_the_room(),
        speed=fit.speed(hardware),
        data=data,
        time=fit.time(hardware, data.rows, data.tokens_a_row) if data else None,
    )
    for line in lines(report):
        print(line, flush=True)
    return to_json(report)


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
