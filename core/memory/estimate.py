"""The estimate: every term of a training's peak, summed as the driver would show it."""

from __future__ import annotations

from core.memory.adapter import optimizer_bytes, parameter_bytes, trainable_parameters
from core.memory.disk import disk_bytes
from core.memory.host import host_bytes
from core.memory.kinds import MemoryEstimate, Place, Term, Verdict, Workload
from core.memory.overhead import context_bytes, fragmentation_bytes
from core.memory.phases import highest_moment, logits_bytes
from core.memory.weights import dequantization_bytes, linear_bytes, rest_bytes
from core.models.spec import ModelSpec

# from here on a run may fail for what the estimate can't see; its own mean error is about half of the rest
TIGHT = 0.9


def estimate_memory(
    spec: ModelSpec, workload: Workload, place: Place, correction: float = 1.0
) -> MemoryEstimate:
    """What the training will take at its peak, where it would run. Pure arithmetic, no file is read."""
    trainable = trainable_parameters(spec, workload)
    state, paged = optimizer_bytes(spec, workload, trainable)
    terms = _gpu_terms(spec, workload, place, trainable, state)
    total = round(sum(term.bytes for term in terms) * correction)
    host = host_bytes(spec, workload, paged) if place.gpu else total
    return MemoryEstimate(
        terms=terms,
        usable=place.usable,
        verdict=verdict_of(total, place.usable),
        host_ram=host,
        disk=disk_bytes(spec, workload, trainable, state + paged),
        parameters=spec.parameters,
        trainable=trainable,
        correction=correction,
        notes=_notes(spec),
    )


def verdict_of(total: int, usable: int) -> Verdict:
    if total > usable:
        return "no"
    return "tight" if total > TIGHT * usable else "fits"


def _gpu_terms(
    spec: ModelSpec, workload: Workload, place: Place, trainable: int, state: int
) -> tuple[Term, ...]:
    moment = highest_moment(spec, workload, logits_bytes(spec, workload))
    each = parameter_bytes(workload)
    adapter = 0 if workload.trains_everything else round(trainable * each)
    return (
        Term("weights", linear_bytes(spec, workload), "Base model", "The frozen weights of its layers."),
        Term("unquantized", rest_bytes(spec, workload), "Embeddings and norms", "Never quantized."),
        Term("adapter", adapter, "Adapter", "The weights that are trained, in 32 bits."),
        Term("gradients", round(trainable * each), "Gradients", "One for each trained weight."),
        Term("optimizer", state, "Optimizer", "Its running averages, for each trained weight."),
        Term("activations", moment.activations, "Activations", "What layers keep for the backward pass."),
        Term("logits", moment.logits, "Loss", "The scores of every word of the vocabulary."),
        Term(
            "dequantization",
            dequantization_bytes(spec, workload),
            "Unpacking",
            "The largest layer in 16 bits.",
        ),
        Term(
            "fragmentation",
            fragmentation_bytes(moment),
            "Fragments",
            "Held by the allocator, but not usable.",
        ),
        Term("context", context_bytes(place.gpu), "Driver", "What the card's driver takes for the process."),
    )


def _notes(spec: ModelSpec) -> tuple[str, ...]:
    if spec.exact:
        return ()
    return ("This architecture is not known here: the shapes are estimated.",)
