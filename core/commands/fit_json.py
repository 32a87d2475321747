"""What `fit` found out as the command's JSON line; memory in GiB."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from core.fit import MemoryEstimate, Workload
from core.fit.answer import Fit
from core.fit.run_time import Range, RunTime
from core.fit.search import Step
from core.fit.speed import Speed
from core.machine import GIB


def to_json(found: Fit) -> dict[str, Any]:
    """The whole result, plain values only."""
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
        "notes": list(found.notes),
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
