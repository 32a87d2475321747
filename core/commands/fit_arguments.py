"""The arguments of `fit` as a Workload; what was not given is what suits the place."""

from __future__ import annotations

import argparse
from collections.abc import Container
from dataclasses import replace

from core.base.errors import UserError
from core.fit import Place, Workload
from core.fit.adapter import known_optimizers
from core.methods.settle import WITH_8_BIT
from core.models import ModelSpec, lora_targets

# where bitsandbytes trains on 4 bits by default; elsewhere the base stays whole
_WITH_4_BIT = ("nvidia", "amd", "intel")
_GPU_LENGTH, _CPU_LENGTH = 2048, 512
_LARGEST = 1 << 20
_LARGEST_BATCH = 1 << 12
_MOST_EPOCHS = 100


def workload_asked(args: argparse.Namespace, spec: ModelSpec, place: Place) -> Workload:
    """The training that the arguments describe, as the engine would do it on this place."""
    packed = place.gpu is not None and place.gpu.vendor in _WITH_4_BIT
    method = (args.method or ("qlora" if packed else "lora")).lower()
    backend = args.backend or _backend(args, place)
    if not 0 < args.epochs <= _MOST_EPOCHS:
        raise UserError(f"--epochs {args.epochs:g} is out of range: give up to {_MOST_EPOCHS} of them.")
    usual_length = _GPU_LENGTH if place.gpu else _CPU_LENGTH
    asked = Workload(
        method=method,
        quantization="nf4" if method.startswith("q") else "none",
        double_quantization=not args.no_double_quantization,
        bits=bits_of(args.precision, place),
        rank=_within(args.rank, "--rank"),
        dropout=_share(args.dropout, "--dropout"),
        target_modules=_targets(args.target_modules, spec),
        max_length=usual_length if args.max_length is None else _within(args.max_length, "--max-length"),
        micro_batch=_within(args.batch, "--batch", _LARGEST_BATCH),
        accumulate=_within(args.accumulate, "--accumulate", _LARGEST_BATCH),
        optimizer=_optimizer(args.optimizer, packed),
        checkpointing=args.checkpointing or ("unsloth" if place.gpu else "none"),
        backend=backend,
        attention=args.attention,
        offload_embedding=args.offload_embedding,
        fused_loss=None if args.loss is None else args.loss == "pieces",
        adapter_bits=args.adapter_bits,
        rest_bits=args.rest_bits,
    )
    return _as_trained(asked, place)


def _backend(args: argparse.Namespace, place: Place) -> str:
    """Unsloth, but for what it does not do."""
    apple = place.gpu is not None and place.gpu.vendor == "apple"
    return "peft" if apple or args.no_double_quantization or args.attention != "auto" else "unsloth"


def bits_of(precision: str, place: Place) -> int:
    """Bits of a weight that is not quantized; `auto` is 16 on cards, 32 on CPUs and Apple's GPUs."""
    if precision == "auto":
        return 32 if place.gpu is None or place.gpu.vendor == "apple" else 16
    return 32 if precision == "fp32" else 16


def _as_trained(work: Workload, place: Place) -> Workload:
    if work.backend == "peft" and work.checkpointing == "unsloth":
        work = replace(work, checkpointing="hf")
    if "8bit" in work.optimizer and (place.gpu is None or place.gpu.vendor not in WITH_8_BIT):
        work = replace(work, optimizer="adamw_torch")
    return work


def _optimizer(name: str | None, packed: bool) -> str:
    if name is None:
        return "adamw_8bit" if packed else "adamw_torch"
    if name.lower() not in known_optimizers():
        raise UserError(f"--optimizer {name} is not known. Choose one of: {', '.join(known_optimizers())}.")
    return name.lower()


def _within(number: int, name: str, largest: int = _LARGEST) -> int:
    if not 1 <= number <= largest:
        raise UserError(f"{name} {number} is out of range: give a number from 1 to {largest:,}.")
    return number


def _share(number: float, name: str) -> float:
    if not 0 <= number < 1:
        raise UserError(f"{name} {number:g} is out of range: give a number from 0 to below 1.")
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
