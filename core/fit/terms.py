"""The estimate: every term of a training's peak, summed as the driver, or the system, would show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.fit.activations import FLOAT32, Moment, checkpoints_bytes, highest_moment
from core.fit.training import OURS, Foreign, Place, Training
from core.machine import GIB, Gpu
from core.models import ModelSpec
from core.models.spec import Linear
from core.recipe import Recipe

Verdict = Literal["fits", "tight", "no"]
# above this part of the room a run may fail for what no formula sees: of the published runs half are within
# 5 % of their estimate, four fifths within 11 % (tests/benchmarks/vram.py)
TIGHT = 0.9
# term → its title, and what it is for
_WHY = {
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


@dataclass(frozen=True)
class Term:
    """One part of the peak. `title` stands in the meter, `why` says in one sentence what it is for."""

    key: str
    bytes: int
    title: str
    why: str


@dataclass(frozen=True)
class MemoryEstimate:
    """The peak of a training, term by term, in bytes. On a CPU the terms are host memory."""

    terms: tuple[Term, ...]
    usable: int
    verdict: Verdict
    host_ram: int
    disk: int
    parameters: int
    trainable: int
    # what measured runs on this machine multiply the sum by; 1.0 without any
    correction: float = 1.0
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return round(self.formula * self.correction)

    @property
    def formula(self) -> int:
        """The total without the correction."""
        return sum(term.bytes for term in self.terms)

    @property
    def largest(self) -> Term:
        return max(self.terms, key=lambda term: term.bytes)

    def term(self, key: str) -> int:
        """Bytes of one term, 0 where there is none."""
        return next((term.bytes for term in self.terms if term.key == key), 0)


def estimate_memory(
    recipe: Recipe,
    spec: ModelSpec,
    place: Place,
    longest: int | None = None,
    correction: float = 1.0,
    foreign: Foreign = OURS,
) -> MemoryEstimate:
    """What the recipe's training will take at its peak there. Pure arithmetic, no file is read.

    `longest` is the data's longest row in tokens, if known; `correction` what measured runs multiply by.
    """
    work = Training.of(recipe, spec, place, longest, foreign)
    trainable = work.method.parameters(spec, work.recipe)
    state, paged = optimizer_bytes(work, trainable)
    sizes = _standing(work, trainable, state)
    sizes |= _on_cpu(work, sum(sizes.values())) if place.gpu is None else _on_gpu(work, place.gpu)
    total = round(sum(sizes.values()) * correction)
    return MemoryEstimate(
        terms=tuple(Term(key, size, *_WHY[key]) for key, size in sizes.items()),
        usable=place.usable,
        verdict=verdict_of(total, place.usable),
        host_ram=_host_bytes(work, paged) if place.gpu else total,
        disk=_disk_bytes(work, trainable, state + paged),
        parameters=spec.parameters,
        trainable=trainable,
        correction=correction,
        notes=_notes(work),
    )


def verdict_of(total: int, usable: int) -> Verdict:
    if total > usable:
        return "no"
    return "tight" if total > TIGHT * usable else "fits"


def _notes(work: Training) -> tuple[str, ...]:
    """Sentences that belong beside the estimate."""
    notes, gpu = [], work.place.gpu
    if not work.spec.exact:
        notes.append("This architecture is not known here, so the shapes are estimated.")
    if gpu and work.computes_wider:
        notes.append(f"{gpu.name} has no bfloat16, so this model is computed in 32 bits there.")
    if gpu and work.place.system.startswith("Windows"):
        notes.append("On Windows what does not fit spills into RAM without a word, and is many times slower.")
    return tuple(notes)


def _standing(work: Training, trainable: int, state: int) -> dict[str, int]:
    """What lies there through the whole training."""
    trained = round(trainable * work.trained_bytes)
    return {
        "weights": linear_bytes(work),
        "unquantized": rest_bytes(work),
        "adapter": 0 if work.method.trains_everything else trained,
        "gradients": trained,
        "optimizer": state,
    }


def _on_gpu(work: Training, gpu: Gpu) -> dict[str, int]:
    moment = highest_moment(work)
    return {
        **_moving(work, moment),
        "fragmentation": _FIXED_FRAGMENTS + moment.total // _PART_OF_MOVING[work.engine],
        "context": context_bytes(gpu),
    }


def _on_cpu(work: Training, standing: int) -> dict[str, int]:
    """The worker's resident memory. For a short length the highest moment is while the model is read."""
    moment = highest_moment(work)
    heap = round(_HEAP_HOLES[work.recipe.engine] * moment.total)
    sizes = {**_moving(work, moment), "fragmentation": heap, "context": _LIBRARIES[work.recipe.engine]}
    training = standing + sum(sizes.values()) - sizes["context"]
    return {**sizes, "loading": max(0, _loading_bytes(work) - training)}


def _moving(work: Training, moment: Moment) -> dict[str, int]:
    """What comes and goes in every step."""
    return {
        "activations": moment.activations,
        "logits": moment.logits,
        "dequantization": dequantization_bytes(work),
    }


# ----- the frozen base: its layers as they are quantized, and what stays in 16 or 32 bits

# NF4 (Dettmers et al. 2023, QLoRA, section 3): 4 bits a weight and one constant for 64 of them, kept as
# float32, or quantized again to 8 bits with one float32 for 256 of those
NF4 = 0.5 + 4 / 64
NF4_DOUBLE = 0.5 + 1 / 64 + 4 / (64 * 256)
# besides heads and towers Unsloth leaves these in 16 bits (unsloth_zoo/peft_utils.py,
# SKIP_QUANTIZATION_MODULES)
_LEFT_WHOLE = frozenset({"mamba", "router"})
# stored formats that a 4-bit load takes as they are
_QUANTIZED_FILES = ("nf4", "mixed")


def linear_bytes(work: Training) -> int:
    """The linear layers of the blocks, frozen, and of towers that are quantized too.

    A repository that is quantized already (also Unsloth's dynamic ones, which leave some layers in 16 bits)
    takes what its files hold.
    """
    if work.spec.file_bytes and _stored_as_trained(work):
        return max(0, work.spec.file_bytes - rest_bytes(work, stored=True))
    whole = work.weight_bits / 8
    packed = (NF4_DOUBLE if work.recipe.double_quantization else NF4) if work.packed else whole
    blocks = sum(
        linear.parameters * (packed if _quantizable(linear, work) else whole) for linear in work.spec.linears
    )
    return round(blocks + packed * _packed_towers(work))


def rest_bytes(work: Training, stored: bool = False) -> int:
    """Embedding, output head unless it is the embedding, norms, biases: never quantized by bitsandbytes.

    With Unsloth also what looks and listens. `offload_embedding` keeps the input embedding in the host's
    memory, where it isn't the output head too.
    """
    count = work.spec.other_parameters - _packed_towers(work)
    if work.recipe.offload_embedding and not work.spec.tied and not stored:
        count -= work.spec.embedding
    return round(count * work.weight_bits / 8)


def dequantization_bytes(work: Training) -> int:
    """The largest quantized matrix in 16 bits, with its constants in float32.

    bitsandbytes makes it for each product of the backward pass (autograd/_functions.py, MatMul4Bit.backward);
    Unsloth keeps one such buffer (kernels/utils.py, fast_dequantize, WEIGHT_BUFFER and ABSMAX_BUFFER).
    """
    if not work.packed:
        return 0
    sizes = [linear.inputs * linear.outputs for linear in work.spec.linears if _quantizable(linear, work)]
    return round(max(sizes, default=0) * (work.bits / 8 + 4 / 64))


def _quantizable(linear: Linear, work: Training) -> bool:
    """Whether it gets quantized: experts in one parameter are no nn.Linear, but Unsloth takes them apart."""
    if work.engine == "unsloth":
        return _LEFT_WHOLE.isdisjoint(linear.path.split("."))
    return not linear.fused


def _stored_as_trained(work: Training) -> bool:
    return work.packed and bool(work.spec.file_bytes) and work.spec.stored in _QUANTIZED_FILES


def _packed_towers(work: Training) -> int:
    """Parameters of the parts that look and listen that are quantized while they are read.

    Transformers leaves out nothing but the head; Unsloth leaves these parts whole.
    """
    whole = not work.packed or work.engine == "unsloth" or _stored_as_trained(work)
    return 0 if whole else sum(part.parameters for part in work.spec.vision)


# ----- the optimizer's state

# bytes of Adam's state a trained float32 parameter. 8-bit: two bytes and two float32 for 256 parameters
# (Dettmers et al. 2022, 8-bit Optimizers via Block-wise Quantization; bitsandbytes/optim/adamw.py)
_ADAM, _EIGHT_BIT = 8.0, 2 + 2 * FLOAT32 / 256
# bitsandbytes keeps smaller tensors in 32 bits, and pages only larger ones (optim/optimizer.py)
_SMALL_TENSOR, _PAGED_TENSOR = 4096, 100_000


def optimizer_bytes(work: Training, trainable: int) -> tuple[int, int]:
    """The optimizer's state in bytes: on the card, and (paged) in the host's memory.

    Adam of PyTorch keeps its two states in the parameter's own format. Paged states give way to whatever
    else needs the card (bitsandbytes, functional.get_paged), so they are counted where they can go.
    """
    eight_bit = "8bit" in work.optimizer
    state = _EIGHT_BIT if eight_bit else _ADAM
    if "bit" not in work.optimizer:
        state *= work.trained_bytes / FLOAT32
    kept = _kept_in_32_bits(work) if eight_bit else 0
    total = round(trainable * state + kept * (FLOAT32 * round(state) - state))
    if not work.optimizer.startswith("paged_"):
        return total, 0
    paged = _paged_share(work)
    return round(total * (1 - paged)), round(total * paged)


def _kept_in_32_bits(work: Training) -> int:
    """Parameters whose states an 8-bit optimizer keeps in float32: those of small tensors.

    In full training the embedding's: the Trainer asks for that (transformers/trainer.py, create_optimizer).
    """
    if work.method.trains_everything:
        return work.spec.embedding
    sizes = work.method.tensor_sizes(work.spec, work.recipe)
    return sum(size * count for size, count in sizes if size < _SMALL_TENSOR)


def _paged_share(work: Training) -> float:
    sizes = work.method.tensor_sizes(work.spec, work.recipe)
    total = sum(size * count for size, count in sizes)
    if not total:
        return 1.0
    return sum(size * count for size, count in sizes if size >= _PAGED_TENSOR) / total


# ----- what a GPU takes beside tensors

# kernels and workspaces that the process loads, by family of the card: what nvidia-smi shows beyond torch's
# reserved memory in published runs; others guessed from the nearest
_CONTEXT = {"Turing": 0.4, "Volta": 0.4, "Ampere": 0.5, "Ada": 0.5, "Hopper": 0.7, "Blackwell": 0.7}
_OTHER_CONTEXT = {"nvidia": 0.5, "amd": 0.5, "intel": 0.4, "apple": 0.3}
# torch's allocator (c10/cuda/CUDACachingAllocator.cpp) rounds to 2 MiB and splits blocks. Fitted to published
# runs: a sixteenth of what moves with Unsloth's kernels, which work in place; with the plain engine an eighth
# has the smallest mean error and no bias (Transformers, Axolotl: python -m tests.benchmarks.vram)
_FIXED_FRAGMENTS = GIB // 4
_PART_OF_MOVING = {"unsloth": 16, "peft": 8}


def context_bytes(gpu: Gpu | None) -> int:
    """What the process takes on the card before the first tensor."""
    if gpu is None:
        return 0
    return round(_CONTEXT.get(gpu.arch, _OTHER_CONTEXT[gpu.vendor]) * GIB)


# ----- host memory, beside a GPU and of a training that runs on the CPU itself; disk

_MB = 1_000_000
# resident once the worker has imported everything: a CPU build of torch, and a CUDA build with its driver
_LIBRARIES = {"peft": 600 * _MB, "unsloth": 700 * _MB}
_LIBRARIES_CUDA = {"peft": 2 * GIB, "unsloth": 3 * GIB}
# glibc keeps what tensors of a few megabytes leave behind: peak above what torch's profiler counts, measured
# with the starter model at 256 to 1,024 tokens
_HEAP_HOLES = {"unsloth": 0.5, "peft": 0.7}
# copies of the weights, in float32, while they are read (and packed into 4 bits)
_WHILE_LOADING, _WHILE_PACKING = 1.5, 2.1
# transformers reads shard by shard; hubs cut them at about 5 GB
_SHARD = 5 * GIB
# the largest file that the export step offers, and the usual one: bytes a parameter (F16, Q4_K_M)
_F16, _Q4 = 2.0, 4.9 / 8


def _loading_bytes(work: Training) -> int:
    """The peak while the weights are read into the host's memory."""
    if work.packed:
        return round(_WHILE_PACKING * work.spec.parameters * FLOAT32)
    return round(_WHILE_LOADING * work.spec.parameters * work.bits / 8)


def _host_bytes(work: Training, paged: int) -> int:
    """RAM beside a GPU: libraries, a shard while it is read, and what was moved off the card.

    Unsloth's checkpoints lie there (unsloth_zoo/gradient_checkpointing.py), paged optimizers when the card is
    full, an offloaded embedding always.
    """
    moved = paged
    if work.checkpointing in ("unsloth", "hf_offload"):
        moved += checkpoints_bytes(work)
    if work.recipe.offload_embedding and not work.spec.tied:
        moved += round(work.spec.embedding * work.bits / 8)
    # the shard is gone before the first step
    return _LIBRARIES_CUDA[work.engine] + max(min(2 * work.spec.parameters, _SHARD), moved)


def _disk_bytes(work: Training, trainable: int, optimizer: int) -> int:
    """From download to GGUF: the base, the kept checkpoints and the next one, the adapter, the export.

    The export merges into 16 bits, converts to an F16 GGUF and quantizes that (core.export).
    """
    weights = work.spec.parameters
    base = work.spec.file_bytes or 2 * weights
    adapter = trainable * (work.bits // 8 if work.method.trains_everything else FLOAT32)
    checkpoints = (work.recipe.keep_checkpoints + 1) * (adapter + optimizer)
    return round(base + checkpoints + adapter + 2 * weights + (_F16 + _Q4) * weights)
