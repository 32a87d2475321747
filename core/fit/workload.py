"""The words of the estimate: what is run (Workload), on what (Place), what it takes (MemoryEstimate)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from core.machine import Gpu, Hardware

if TYPE_CHECKING:
    # it would bring pydantic: a tenth of a second that `fit` can do without
    from core.recipe import Recipe

Quantization = Literal["none", "nf4", "int8"]
Verdict = Literal["fits", "tight", "no"]


@dataclass(frozen=True)
class Workload:
    """What decides the peak of a training: a Recipe's knobs, and those that only other programs have.

    Lengths in tokens. `longest` is the longest row that will really be computed, if the data is known: the
    smaller of it and `max_length` counts. `trained_share` of the positions have something to learn (in chats
    the answers). `quantization` is that of the frozen base; `bits` of the maths, and of what is not quantized
    unless `rest_bits` says otherwise: 16 or 32. `adapter_bits` is the adapter's format, 32 with both engines.
    `fused_loss` says whether the logits are made piece by piece; None takes what the backend does.
    `virtual_tokens` are those of soft prompts.
    """

    method: str = "lora"
    quantization: Quantization = "none"
    double_quantization: bool = True
    bits: int = 16
    rank: int = 16
    rank_pattern: dict[str, int] = field(default_factory=dict)
    target_modules: tuple[str, ...] = ("all-linear",)
    dropout: float = 0.0
    max_length: int = 1024
    longest: int | None = None
    trained_share: float = 0.75
    micro_batch: int = 1
    accumulate: int = 8
    optimizer: str = "adamw_torch"
    checkpointing: str = "none"
    backend: str = "unsloth"
    attention: str = "auto"
    fused_loss: bool | None = None
    adapter_bits: int = 32
    rest_bits: int | None = None
    offload_embedding: bool = False
    virtual_tokens: int = 20
    keep_checkpoints: int = 2

    @classmethod
    def of(cls, recipe: Recipe, longest: int | None = None) -> Workload:
        """What a settled Recipe asks for."""
        targets = recipe.target_modules
        return cls(
            method=recipe.method,
            quantization=recipe.quantization,
            double_quantization=recipe.double_quantization,
            bits=32 if recipe.precision == "fp32" else 16,
            rank=recipe.rank,
            target_modules=(targets,) if isinstance(targets, str) else tuple(targets),
            dropout=recipe.dropout,
            max_length=recipe.max_length,
            longest=longest,
            micro_batch=recipe.micro_batch,
            accumulate=recipe.accumulate,
            optimizer=recipe.optimizer,
            checkpointing=recipe.checkpointing,
            backend=recipe.engine,
            attention=recipe.attention,
            offload_embedding=recipe.offload_embedding,
            keep_checkpoints=recipe.keep_checkpoints,
        )

    @property
    def length(self) -> int:
        """Tokens of the longest row that is computed."""
        return min(self.max_length, self.longest or self.max_length)

    @property
    def tokens(self) -> int:
        """Tokens that are computed at once, padding included.

        Shorter rows take the place of a full one (core.train.batches.plan_parts), so short data fills the
        budget of `micro_batch` full rows too, as far as a step has rows for it.
        """
        return min(self.micro_batch * self.max_length, self.micro_batch * self.accumulate * self.length)

    @property
    def weight_bits(self) -> int:
        """Bits of a frozen weight that is not quantized."""
        return self.rest_bits or self.bits

    @property
    def trains_everything(self) -> bool:
        return self.method == "full"

    @property
    def kind(self) -> str:
        """The method without its base: QLoRA is LoRA on a quantized base."""
        return {"qlora": "lora", "rslora": "lora", "lora+": "lora", "qdora": "dora"}.get(
            self.method, self.method
        )


@dataclass(frozen=True)
class Place:
    """Where it would run: one card, or the CPU with the machine's memory (`gpu` is None). Bytes."""

    gpu: Gpu | None
    usable: int
    ram: int
    disk_free: int | None = None
    system: str = ""

    @classmethod
    def of(cls, hardware: Hardware, gpu: Gpu | None = None) -> Place:
        """The best card of a machine (or the given one), else its CPU."""
        from core.fit.place import place_of

        return place_of(hardware, gpu)


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
        return round(sum(term.bytes for term in self.terms) * self.correction)

    @property
    def largest(self) -> Term:
        return max(self.terms, key=lambda term: term.bytes)

    def term(self, key: str) -> int:
        """Bytes of one term, 0 where there is none."""
        return next((term.bytes for term in self.terms if term.key == key), 0)
