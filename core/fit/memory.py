"""The estimate: every term of a training's peak, summed as the driver, or the system, would show it."""

from __future__ import annotations

from core.fit.adapter import optimizer_bytes, parameter_bytes, trainable_parameters
from core.fit.computed import as_computed
from core.fit.disk import disk_bytes
from core.fit.host import heap_bytes, host_bytes, libraries_bytes, loading_bytes
from core.fit.overhead import context_bytes, fragmentation_bytes
from core.fit.phases import Moment, highest_moment, logits_bytes
from core.fit.weights import dequantization_bytes, linear_bytes, rest_bytes
from core.fit.words import WHY, notes
from core.fit.workload import MemoryEstimate, Place, Term, Verdict, Workload
from core.models.spec import ModelSpec

# above this part of the room a run may fail for what no formula sees: of the published runs half are within
# 5 % of their estimate, four fifths within 11 % (tests/benchmarks/vram.py)
TIGHT = 0.9


def estimate_memory(
    spec: ModelSpec, workload: Workload, place: Place, correction: float = 1.0
) -> MemoryEstimate:
    """What the training will take at its peak, where it would run. Pure arithmetic, no file is read."""
    work = as_computed(spec, workload, place.gpu)
    trainable = trainable_parameters(spec, work)
    state, paged = optimizer_bytes(spec, work, trainable)
    sizes = _standing(spec, work, trainable, state)
    if place.gpu:
        sizes |= _on_gpu(spec, work, place)
    else:
        sizes |= _on_cpu(spec, work, workload.backend, sum(sizes.values()))
    terms = tuple(Term(key, size, *WHY[key]) for key, size in sizes.items())
    total = round(sum(sizes.values()) * correction)
    return MemoryEstimate(
        terms=terms,
        usable=place.usable,
        verdict=verdict_of(total, place.usable),
        host_ram=host_bytes(spec, work, paged) if place.gpu else total,
        disk=disk_bytes(spec, work, trainable, state + paged),
        parameters=spec.parameters,
        trainable=trainable,
        correction=correction,
        notes=notes(spec, workload, work, place),
    )


def verdict_of(total: int, usable: int) -> Verdict:
    if total > usable:
        return "no"
    return "tight" if total > TIGHT * usable else "fits"


def _standing(spec: ModelSpec, work: Workload, trainable: int, state: int) -> dict[str, int]:
    """What lies there through the whole training."""
    trained = round(trainable * parameter_bytes(work))
    return {
        "weights": linear_bytes(spec, work),
        "unquantized": rest_bytes(spec, work),
        "adapter": 0 if work.trains_everything else trained,
        "gradients": trained,
        "optimizer": state,
    }


def _on_gpu(spec: ModelSpec, work: Workload, place: Place) -> dict[str, int]:
    moment = highest_moment(spec, work, logits_bytes(spec, work))
    return {
        **_moving(spec, work, moment),
        "fragmentation": fragmentation_bytes(moment, work.backend),
        "context": context_bytes(place.gpu),
    }


def _on_cpu(spec: ModelSpec, work: Workload, backend: str, standing: int) -> dict[str, int]:
    """The worker's resident memory. For a short length the highest moment is while the model is read."""
    moment = highest_moment(spec, work, logits_bytes(spec, work, on_cpu=True))
    sizes = {
        **_moving(spec, work, moment),
        "fragmentation": heap_bytes(moment, backend),
        "context": libraries_bytes(backend),
    }
    training = standing + sum(sizes.values()) - sizes["context"]
    return {**sizes, "loading": max(0, loading_bytes(spec, work) - training)}


def _moving(spec: ModelSpec, work: Workload, moment: Moment) -> dict[str, int]:
    """What comes and goes in every step."""
    return {
        "activations": moment.activations,
        "logits": moment.logits,
        "dequantization": dequantization_bytes(spec, work),
    }
