"""`fit`: what a training would take, term by term, before it starts. Reads shapes, loads no library."""

from __future__ import annotations

import argparse
from collections.abc import Container
from dataclasses import asdict, dataclass, replace
from typing import Any

from core.errors import UserError
from core.fit_data import Data, read_data
from core.fit_print import print_fit
from core.fitting import as_trained, bits_of, estimator, smaller_models
from core.hardware import GIB, Hardware, card_named, find_hardware, refusal
from core.home import Home
from core.memory import MemoryEstimate, Place, Workload
from core.memory.adapter import known_optimizers
from core.memory.measured import Correction, correction, reset_measured
from core.memory.search import Step, make_it_fit, use_the_room
from core.models import ModelSpec, find_spec, lora_targets
from core.timing.energy import watts
from core.timing.run_time import Range, RunTime, run_time
from core.timing.speed import Speed, speed_here
from core.timing.steps import rows_seen, steps_of

# where bitsandbytes trains on 4 bits by default; elsewhere the base stays whole
_WITH_4_BIT = ("nvidia", "amd", "intel")
_GPU_LENGTH, _CPU_LENGTH = 2048, 512
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Fit:
    """Everything that was found out; what is printed and what becomes JSON."""

    spec: ModelSpec
    workload: Workload
    place: Place
    estimate: MemoryEstimate
    correction: Correction
    refusal: str
    suggestions: list[Step]
    room: list[Step]
    speed: Speed
    data: Data | None
    time: RunTime | None

    @property
    def verdict(self) -> str:
        """A card that can't train has no room either."""
        return "no" if self.refusal else self.estimate.verdict


def fit(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """Estimate, print, and return the numbers. What does not fit is an answer, no error."""
    hardware = find_hardware(home.root)
    place = Place.of(hardware, card_named(args.gpu) if args.gpu else None)
    if args.forget_measured:
        reset_measured(home, place)
    if args.calibrate:
        _calibrate(home)
    spec = find_spec(home, args.model)
    workload = as_trained(_workload(args, spec, place), place)
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
    lengths = data.lengths if data else None
    speed = speed_here(home, spec, workload, place, hardware)
    refused = _refusal(place, hardware)
    return Fit(
        spec=spec,
        workload=workload,
        place=place,
        estimate=estimate(spec, workload),
        correction=known,
        refusal=refused,
        suggestions=[]
        if refused
        else make_it_fit(spec, workload, place, estimate, lengths, smaller_models()),
        room=[] if refused else use_the_room(spec, workload, place, estimate),
        speed=speed,
        data=data,
        time=_time(data, workload, speed, place, hardware, args.epochs) if data else None,
    )


def _calibrate(home: Home) -> None:
    """Measure this machine now, and wait for it."""
    from core.follow import follow
    from core.timing.calibration import calibration_job, start_calibration

    follow(calibration_job(home), lambda: start_calibration(home))


def _refusal(place: Place, hardware: Hardware) -> str:
    """Why the card can't train; one that is only named is not judged by what is installed here."""
    if place.gpu is None:
        return ""
    here = hardware if place.gpu in hardware.gpus else replace(hardware, torch="")
    return refusal(place.gpu, here) or ""


def _workload(args: argparse.Namespace, spec: ModelSpec, place: Place) -> Workload:
    """The arguments as a Workload; what was not given is what suits the place."""
    packed = place.gpu is not None and place.gpu.vendor in _WITH_4_BIT
    method = args.method or ("qlora" if packed else "lora")
    backend = args.backend or _backend(args, place)
    length = args.max_length or (_GPU_LENGTH if place.gpu else _CPU_LENGTH)
    return Workload(
        method=method,
        quantization="nf4" if method.startswith("q") else "none",
        double_quantization=not args.no_double_quantization,
        bits=bits_of(args.precision, place),
        rank=_within(args.rank, "--rank"),
        target_modules=_targets(args.target_modules, spec),
        max_length=_within(length, "--max-length"),
        micro_batch=_within(args.batch, "--batch"),
        accumulate=_within(args.accumulate, "--accumulate"),
        optimizer=_optimizer(args.optimizer, packed),
        checkpointing=args.checkpointing or ("unsloth" if place.gpu else "none"),
        backend=backend,
        attention=args.attention,
        offload_embedding=args.offload_embedding,
    )


def _backend(args: argparse.Namespace, place: Place) -> str:
    """Unsloth, but for what it does not do."""
    apple = place.gpu is not None and place.gpu.vendor == "apple"
    return "peft" if apple or args.no_double_quantization or args.attention != "auto" else "unsloth"


def _optimizer(name: str | None, packed: bool) -> str:
    if name is None:
        return "adamw_8bit" if packed else "adamw_torch"
    if name not in known_optimizers():
        raise UserError(f"--optimizer {name} is not known. Choose one of: {', '.join(known_optimizers())}.")
    return name


def _within(number: int, name: str) -> int:
    if not 1 <= number <= _LARGEST:
        raise UserError(f"{name} {number} is out of range: give a number from 1 to {_LARGEST:,}.")
    return number


def _targets(text: str, spec: ModelSpec) -> tuple[str, ...]:
    """Module names as the model has them; `q,v` is short for q_proj and v_proj."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names in ([], ["all"], ["all-linear"]):
        return ("all-linear",)
    known = dict.fromkeys(linear.name for linear in spec.linears)
    found = {name: _modules(name, spec, known) for name in names}
    wrong = [name for name, modules in found.items() if not modules]
    if wrong:
        raise UserError(
            f"--target-modules: {spec.name} has no layer {', '.join(wrong)}. It has {', '.join(known)}; "
            "or say all-linear."
        )
    return tuple(dict.fromkeys(module for modules in found.values() for module in modules))


def _modules(name: str, spec: ModelSpec, known: Container[str]) -> list[str]:
    """The modules that a name means: its own, `q` for q_proj, or the one that holds it (query_key_value)."""
    own = next((each for each in (name, f"{name}_proj") if each in known), None)
    if own:
        return [own]
    try:
        return [target.linear.name for target in lora_targets(spec, name)]
    except UserError:
        return []


def _time(
    data: Data, workload: Workload, speed: Speed, place: Place, hardware: Hardware, epochs: float
) -> RunTime:
    rows = workload.micro_batch * workload.accumulate
    steps = steps_of(data.rows, rows, epochs)
    tokens = rows_seen(steps, rows, data.rows) * data.tokens_a_row
    return run_time(steps, tokens, speed, watts(place.gpu, hardware.cores))


def to_json(found: Fit) -> dict[str, Any]:
    """The result as the command's JSON line; memory in GiB."""
    estimate, place = found.estimate, found.place
    return {
        "model": found.spec.name,
        "architecture": found.spec.architecture,
        "exact": found.spec.exact,
        "place": place.gpu.name if place.gpu else "CPU",
        "total_gib": gib(estimate.total),
        "usable_gib": gib(estimate.usable),
        "verdict": found.verdict,
        "refusal": found.refusal or None,
        "terms": terms_gib(estimate),
        "host_ram_gib": gib(estimate.host_ram),
        "disk_gib": gib(estimate.disk),
        "parameters": {"total": estimate.parameters, "trainable": estimate.trainable},
        "settings": settings_json(found.workload),
        "correction": {**asdict(found.correction), "factor": round(found.correction.factor, 3)},
        "notes": list(estimate.notes),
        "suggestions": [_step_json(step) for step in found.suggestions],
        "room": [_step_json(step) for step in found.room],
        "data": found.data.to_json() if found.data else None,
        "speed": _speed_json(found.speed),
        "time": _time_json(found.time) if found.time else None,
    }


def terms_gib(estimate: MemoryEstimate) -> dict[str, float]:
    """Every term by its key, so that they add up to the total: the correction is one of them."""
    terms = {term.key: gib(term.bytes) for term in estimate.terms}
    if estimate.correction != 1:
        terms["correction"] = gib(estimate.total - sum(term.bytes for term in estimate.terms))
    return terms


def settings_json(workload: Workload) -> dict[str, Any]:
    """What was estimated, defaults filled in."""
    left_out = ("rank_pattern", "fused_loss", "virtual_tokens", "longest", "keep_checkpoints", "dropout")
    values = {key: value for key, value in asdict(workload).items() if key not in left_out}
    return {**values, "target_modules": list(workload.target_modules)}


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "change": step.words,
        "settings": step.change,
        "total_gib": gib(step.total),
        "saves_gib": gib(step.saves),
    }


def _speed_json(speed: Speed) -> dict[str, Any]:
    return {
        "tokens_per_s": round(speed.tokens_per_s, 2),
        "spread": speed.spread,
        "measured": speed.measured,
        "source": speed.source,
    }


def _time_json(time: RunTime) -> dict[str, Any]:
    return {
        "steps": time.steps,
        "tokens": time.tokens,
        "minutes": _range_json(Range(*(seconds / 60 for seconds in time.seconds))),
        "kwh": _range_json(time.kwh),
        "source": time.source,
    }


def _range_json(values: Range) -> dict[str, float]:
    """In three digits: it is known no better."""
    return {name: float(f"{value:.3g}") for name, value in values._asdict().items()}


def gib(bytes: int) -> float:
    return round(bytes / GIB, 3)
