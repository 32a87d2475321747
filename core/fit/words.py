"""The words of the estimate: what each term is, and what one should know beside the numbers."""

from __future__ import annotations

from core.fit.workload import Place, Workload
from core.models.spec import ModelSpec

# term → its title, and what it is for
WHY = {
    "weights": ("Model", "The base model's layers, in the format that they are kept in."),
    "unquantized": (
        "Embeddings",
        "The table of tokens, the output head and norms; they are never quantized.",
    ),
    "adapter": ("Adapter", "The weights that are trained; they grow with the rank."),
    "gradients": ("Gradients", "One number for each trained weight."),
    "optimizer": ("Optimizer", "Running averages for each trained weight; 8 bits take a quarter."),
    "activations": (
        "Activations",
        "What layers keep for the backward pass; grows with length and micro-batch.",
    ),
    "logits": ("Loss", "A score for every token of the vocabulary at every position."),
    "dequantization": ("Unpacking", "The largest 4-bit matrix, unpacked while it is used."),
    "fragmentation": ("Fragments", "Held by the allocator between tensors, so nobody else can use it."),
    "context": ("Driver and libraries", "What the process takes before its first tensor."),
    "loading": ("Reading the model", "For a moment at the start more is needed than in training."),
}


def notes(spec: ModelSpec, asked: Workload, computed: Workload, place: Place) -> tuple[str, ...]:
    """Sentences that belong beside the estimate."""
    found = []
    if not spec.exact:
        found.append("This architecture is not known here, so the shapes are estimated.")
    if place.gpu and computed.bits > asked.bits:
        found.append(f"{place.gpu.name} has no bfloat16, so this model is computed in 32 bits there.")
    if place.gpu and place.system.startswith("Windows"):
        found.append("On Windows what does not fit spills into RAM without a word, and is many times slower.")
    return tuple(found)
