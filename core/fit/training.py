"""One training as the estimate sees it: a settled recipe, a model's shapes, the place, the longest row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple, cast

from core.base.errors import UserError
from core.machine import GIB, Gpu, Hardware
from core.methods.method import Method, method_of
from core.methods.settle import Device, settle, unmet
from core.models import ModelSpec
from core.models.adapter import ALL_LINEAR
from core.recipe import Recipe

_KINDS: dict[str, Literal["cuda", "xpu", "mps"]] = {
    "nvidia": "cuda",
    "amd": "cuda",
    "intel": "xpu",
    "apple": "mps",
}
# what a desktop takes of the card that its screen hangs on: on Windows about 1 GiB, on Linux less
_WINDOWS_DESKTOP, _SCREEN = GIB, GIB // 2
# the part of the RAM that Metal lets one process have (recommendedMaxWorkingSetSize): two thirds up to 36 GiB
_APPLE_SMALL, _APPLE_LARGE, _APPLE_EDGE = 2 / 3, 3 / 4, 36 * GIB
# what the system and the page of this app need of the RAM
_SYSTEM_SHARE, _SYSTEM_LEAST = 0.1, int(1.5 * GIB)
# beginnings of the types that overflow in float16, so Unsloth computes them in float32 where there is no
# bfloat16 (unsloth_zoo/model_lists.py, FORCE_FLOAT32, of 2026.10.9); the weights stay in 16 bits
_FLOAT32_FAMILIES = ("gemma3", "gemma4", "embedding_gemma2", "glm4_moe", "gpt_oss", "qwen3_5", "qwen3_moe")


class Lengths(NamedTuple):
    """Row lengths of the data in tokens: 95 % and 99 % of the rows are no longer, and the longest."""

    p95: int
    p99: int
    longest: int


@dataclass(frozen=True)
class Place:
    """Where it would run: one card, or the CPU with the machine's memory (`gpu` is None). Bytes.

    `device` is what the maths runs on; left out, it follows from the card.
    """

    gpu: Gpu | None
    usable: int
    ram: int
    disk_free: int | None = None
    system: str = ""
    device: Device = cast(Device, None)

    def __post_init__(self) -> None:
        if self.device is None:
            object.__setattr__(self, "device", device_of(self.gpu))

    @classmethod
    def of(cls, hardware: Hardware, gpu: Gpu | None = None) -> Place:
        """The card of a machine that would train, else its CPU; or a card that is only named, with all that
        could be installed beside it."""
        card = gpu or hardware.training_gpu
        # inside WSL, Windows' desktop holds the card
        desktop = "Windows" if hardware.wsl else hardware.system
        usable = _usable(card, desktop) if card else _ram_for_training(hardware.ram)
        here = card is None or card in hardware.gpus
        device = device_of(card, **(installed() if here else {}))
        return cls(card, usable, hardware.ram, hardware.disk_free, hardware.system, device)

    @property
    def name(self) -> str:
        """The kind of place that runs are compared on: the card's name, or the CPU."""
        return self.gpu.name if self.gpu else "CPU"


def device_of(gpu: Gpu | None, unsloth: str = "", flash: bool = True) -> Device:
    """The device as the machine is known without asking torch. Whether a CPU computes in bfloat16 only a
    measurement says, so it counts as one that does not."""
    if gpu is None:
        return Device("cpu", "CPU", False, unsloth=unsloth, flash=flash)
    return Device(_KINDS[gpu.vendor], gpu.name, gpu.bf16, vendor=gpu.vendor, unsloth=unsloth, flash=flash)


def installed() -> dict[str, Any]:
    """What of `device_of` depends on the packages here: `device_of(gpu, **installed())`. Imports none."""
    return {
        "unsloth": "" if find_spec("unsloth") else "unsloth is not installed",
        "flash": find_spec("flash_attn") is not None,
    }


def refusal_of(recipe: Recipe, device: Device, spec: ModelSpec | None = None) -> str:
    """Why a recipe can't be trained there, with the remedy; empty where it can. Asked before Start, too.

    With `spec`, the model's shapes, also whether it has the layers that are to get an adapter.
    """
    refusal = unmet(recipe, device) or method_of(recipe).refuses(recipe, device)
    return refusal or (without_targets(recipe, spec) if spec else "")


def without_targets(recipe: Recipe, spec: ModelSpec) -> str:
    """The sentence of a model that has none of the recipe's target modules; empty where it has some."""
    try:
        method_of(recipe).targets(spec, recipe)
    except UserError as problem:
        return f"{problem} Change the target modules."
    return ""


def moved_to(recipe: Recipe, spec: ModelSpec) -> Recipe:
    """The recipe for another model: all linear layers where it has none of the named target modules."""
    return recipe.with_changes(target_modules=ALL_LINEAR) if without_targets(recipe, spec) else recipe


def _usable(gpu: Gpu, system: str) -> int:
    """The card's memory without what the desktop takes. Bytes."""
    if gpu.unified:
        return round(gpu.total * (_APPLE_SMALL if gpu.total <= _APPLE_EDGE else _APPLE_LARGE))
    if system.startswith("Windows"):
        return gpu.total - (_WINDOWS_DESKTOP if gpu.display or gpu.laptop else _SCREEN)
    return gpu.total - (_SCREEN if gpu.display else 0)


def _ram_for_training(ram: int) -> int:
    """The machine's memory without the system's share."""
    return max(0, ram - max(_SYSTEM_LEAST, round(_SYSTEM_SHARE * ram)))


@dataclass(frozen=True)
class Foreign:
    """What other programs do otherwise; only comparisons with their published runs need it.

    `adapter_bits` is the adapter's format, `rest_bits` that of what is not quantized, `pieces` whether the
    logits are made piece by piece. `optimizer` and `checkpointing` are names that no recipe has.
    """

    optimizer: str = ""
    checkpointing: str = ""
    adapter_bits: int = 32
    rest_bits: int | None = None
    pieces: bool | None = None


OURS = Foreign()


@dataclass(frozen=True)
class Training:
    """A settled recipe on a model and a place. `longest`: the data's longest row in tokens, if known."""

    recipe: Recipe
    spec: ModelSpec
    place: Place
    longest: int | None = None
    foreign: Foreign = OURS

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        spec: ModelSpec,
        place: Place,
        longest: int | None = None,
        foreign: Foreign = OURS,
    ) -> Training:
        """What a recipe comes to on this place."""
        return cls(settle(recipe, place.device)[0], spec, place, longest, foreign)

    @cached_property
    def method(self) -> Method:
        return method_of(self.recipe)

    @property
    def engine(self) -> str:
        """Whose operations are counted: on a CPU Unsloth is Transformers and PEFT as they come."""
        return self.recipe.engine if self.place.gpu else "peft"

    @property
    def packed(self) -> bool:
        return self.recipe.quantization == "nf4"

    @property
    def optimizer(self) -> str:
        return self.foreign.optimizer or self.recipe.optimizer

    @property
    def checkpointing(self) -> str:
        return self.foreign.checkpointing or self.recipe.checkpointing

    @cached_property
    def bits(self) -> int:
        """Bits of the maths: 16 or 32. Weights that are trained can't be float16: that is too coarse."""
        without = self.place.gpu is not None and not self.place.gpu.bf16
        forced = self.method.trains_everything or self._overflows
        return 32 if self.recipe.precision == "fp32" or (without and forced) else 16

    @property
    def _overflows(self) -> bool:
        return self.engine == "unsloth" and self.spec.model_type.startswith(_FLOAT32_FAMILIES)

    @property
    def computes_wider(self) -> bool:
        """Whether the maths take 32 bits though the recipe asks for 16."""
        return self.bits == 32 and self.recipe.precision != "fp32"

    @cached_property
    def weight_bits(self) -> int:
        """Bits of a frozen weight that is not quantized."""
        if self.foreign.rest_bits:
            return self.foreign.rest_bits
        return 16 if self.computes_wider and not self.method.trains_everything else self.bits

    @property
    def trained_bytes(self) -> float:
        """Bytes of a trained parameter: an adapter's own format, or the whole model's."""
        return (self.bits if self.method.trains_everything else self.foreign.adapter_bits) / 8

    @property
    def length(self) -> int:
        """Tokens of the longest row that is computed."""
        return min(self.recipe.max_length, self.longest or self.recipe.max_length)

    @property
    def budget(self) -> int:
        """Tokens of the data that are computed at once, padding included.

        Shorter rows take the place of a full one (core.train.batches.plan_parts), so short data fills the
        budget of `micro_batch` full rows too, as far as a step has rows for it.
        """
        return min(
            self.recipe.micro_batch * self.recipe.max_length, self.recipe.effective_batch * self.length
        )

    @cached_property
    def tokens(self) -> int:
        """Tokens that are computed at once, with those that a method puts before each row."""
        return self.budget + self.method.tokens_before(self.recipe) * self.budget // self.length

    @property
    def pairs(self) -> int:
        """Pairs of tokens that one layer's attention looks at."""
        return self.budget * self.length

    @property
    def pieces(self) -> bool:
        """Whether the loss is computed piece by piece, without all logits at once."""
        if self.foreign.pieces is None or self.place.gpu is None:
            return self.engine == "unsloth"
        return self.foreign.pieces
