"""Merge a LoRA adapter into its base model, tensor by tensor: peak memory is one tensor, not the model.

The result is bit for bit what PEFT's `merge_and_unload` followed by `save_pretrained` holds. Imports torch.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.base.errors import UserError
from core.base.files import read_json
from core.models.tensors import ITEM_BYTES, Tensor, TensorWriter, read_file, read_model

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
# everything that makes a Hugging Face folder a model, apart from the weights
COPIED = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "LICENSE",
    "README.md",
)
_EXTRAS = {
    "use_dora": "uses DoRA",
    "modules_to_save": "carries whole modules (modules_to_save)",
    "trainable_token_indices": "carries trained token embeddings",
    "lora_bias": "has LoRA biases",
    "layer_replication": "repeats layers of the base model",
    "target_parameters": "targets bare parameters (experts)",
    "use_qalora": "uses QALoRA",
    "use_bdlora": "uses BD-LoRA",
    "arrow_config": "uses Arrow routing",
    "kasa_config": "uses KaSA",
    "monteclora_config": "uses MonteCLoRA",
    "alora_invocation_tokens": "is an activated LoRA",
}
_PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")


@dataclass(frozen=True)
class Adapter:
    """A plain LoRA adapter: its settings, and by module of the base model A (r × in) and B (out × r)."""

    config: dict[str, Any]
    pairs: dict[str, tuple[Tensor, Tensor]]

    def scale(self, module: str) -> float:
        """alpha / r, or alpha / sqrt(r) for rsLoRA; a pattern may name the module's own rank and alpha."""
        rank = self._pattern("rank_pattern", module, self.config["r"])
        alpha = self._pattern("alpha_pattern", module, self.config["lora_alpha"])
        return alpha / math.sqrt(rank) if self.config.get("use_rslora") else alpha / rank

    def _pattern(self, name: str, module: str, default: float) -> float:
        for key, value in (self.config.get(name) or {}).items():
            if re.match(rf"(.*\.)?({key})$", module):
                return value
        return default


def read_adapter(folder: Path) -> Adapter:
    """The adapter in `folder` (PEFT format). A UserError if it is not one that can be merged here."""
    config = read_json(folder / "adapter_config.json")
    if config is None:
        raise UserError(f"{folder} has no adapter_config.json, so there is no adapter to merge. Train first.")
    reason = _unmergeable(config)
    if reason is not None:
        raise UserError(
            f"The adapter in {folder} {reason}. Only plain LoRA and rsLoRA adapters can be merged."
        )
    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise UserError(
            f"{folder} has no adapter_model.safetensors, so there is nothing to merge. Train again."
        )
    return Adapter(config, _pairs(read_file(weights), folder))


def _unmergeable(config: dict[str, Any]) -> str | None:
    if config.get("peft_type") != "LORA":
        return f"is of the type {config.get('peft_type')}"
    if config.get("bias", "none") != "none":
        return f"also trains biases (bias={config['bias']!r})"
    if config.get("init_lora_weights", True) not in _PLAIN_STARTS:
        return f"changed its base model at the start (init_lora_weights={config['init_lora_weights']!r})"
    return next((reason for key, reason in _EXTRAS.items() if config.get(key)), None)


def _pairs(tensors: dict[str, Tensor], folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    halves: dict[str, dict[str, Tensor]] = {}
    strange: list[str] = []
    for name, tensor in tensors.items():
        match = re.fullmatch(r"base_model\.model\.(.+)\.lora_([AB])\.(?:default\.)?weight", name)
        if match and len(tensor.shape) == 2 and tensor.dtype in DTYPES:
            halves.setdefault(match[1], {})[match[2]] = tensor
        else:
            strange.append(name)
    strange += [module for module, parts in halves.items() if len(parts) != 2]
    if strange or not halves:
        example = f", for example {strange[0]}" if strange else ""
        raise UserError(
            f"The adapter in {folder} has {len(strange)} tensors that are no LoRA pair of a linear layer"
            f"{example}. Only plain LoRA and rsLoRA adapters of linear layers can be merged."
        )
    return {module: (parts["A"], parts["B"]) for module, parts in halves.items()}


def merge(
    base: Path,
    adapter_folder: Path,
    out: Path,
    tell: Callable[[float], None] = lambda share: None,
    check_stop: Callable[[], None] = lambda: None,
) -> None:
    """Write base + adapter as a Hugging Face folder `out` (one safetensors file, the base's dtypes).

    After each tensor `tell` hears the share done, 0..1, and `check_stop` may raise to end the merge.
    """
    adapter = read_adapter(adapter_folder)
    tensors = read_model(base)
    _check_fit(adapter, tensors, base)
    out.mkdir(parents=True, exist_ok=True)
    copy_companions(base, out)
    total = sum(tensor.bytes for tensor in tensors.values()) or 1
    done = 0
    layout = {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
    with TensorWriter(out / "model.safetensors", layout) as writer:
        for name, tensor in tensors.items():
            module = name.removesuffix(".weight")
            adapted = name.endswith(".weight") and module in adapter.pairs
            writer.write(name, [_merged(module, tensor, adapter)] if adapted else tensor.pieces())
            done += tensor.bytes
            tell(done / total)
            check_stop()


def copy_companions(base: Path, out: Path) -> None:
    """Copy config, tokenizer, chat template and licence, whichever there are."""
    for name in COPIED:
        if (base / name).is_file():
            shutil.copyfile(base / name, out / name)


def _check_fit(adapter: Adapter, tensors: dict[str, Tensor], base: Path) -> None:
    problems: list[str] = []
    for module, (a, b) in adapter.pairs.items():
        weight = tensors.get(f"{module}.weight")
        shape = _delta_shape(adapter, a, b)
        if weight is None:
            problems.append(f"{module} is not in the base model")
        elif weight.dtype not in DTYPES:
            problems.append(f"{module} is stored as {weight.dtype}, not in 16 or 32 bits")
        elif weight.shape != shape:
            problems.append(f"{module} has the shape {weight.shape}, the adapter's is {shape}")
    unknown = sorted({tensor.dtype for tensor in tensors.values()} - set(ITEM_BYTES))
    problems += [f"the base model holds tensors of the type {dtype}" for dtype in unknown]
    if problems:
        raise UserError(
            f"The adapter does not fit the base model in {base}: {problems[0]} ({len(problems)} such "
            "problems). Choose the 16-bit model that it was trained on."
        )


def _delta_shape(adapter: Adapter, a: Tensor, b: Tensor) -> tuple[int, int]:
    shape = (b.shape[0], a.shape[1])
    return (shape[1], shape[0]) if adapter.config.get("fan_in_fan_out") else shape


def _merged(module: str, tensor: Tensor, adapter: Adapter) -> bytearray:
    data = tensor.read()
    weight = _as_torch(data, tensor)
    # the adapter in float32 and the sum rounded once, in place: exactly PEFT's arithmetic
    weight += _delta(adapter, module)
    # twenty times as fast as isfinite().all(); both ends are NaN as soon as one value is
    if not all(math.isfinite(end.item()) for end in torch.aminmax(weight)):
        raise UserError(
            f"The merged weight of {module} is not finite: the adapter is broken, or too large for fp16."
        )
    return data


def _delta(adapter: Adapter, module: str) -> torch.Tensor:
    a, b = (_as_torch(part.read(), part).float() for part in adapter.pairs[module])
    delta = b @ a
    delta = delta.T if adapter.config.get("fan_in_fan_out") else delta
    return delta.mul_(adapter.scale(module))


def _as_torch(data: bytearray, tensor: Tensor) -> torch.Tensor:
    """A view of `data`: what is changed in the tensor changes in the bytes."""
    return torch.frombuffer(data, dtype=DTYPES[tensor.dtype]).view(tensor.shape)
