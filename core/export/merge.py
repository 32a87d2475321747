"""Merge an adapter into its base model, one matrix at a time: peak memory is one layer, not the model.

Each matrix is put alone at its place in an otherwise empty model, PEFT makes the adapter's layer of it, loads
that layer's weights and merges it. So the result is bit for bit what `merge_and_unload` gives, for every
method that PEFT can merge. Runs in a process of its own, whose memory is free again for the conversion:

`python -m core.export.merge BASE ADAPTER OUT`
"""

from __future__ import annotations

import copy
import math
import re
import shutil
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch
from peft import PeftConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer, cast_adapter_dtype
from torch import nn
from transformers.pytorch_utils import Conv1D

from core.base.errors import UserError, first_line
from core.base.process import die_with_parent
from core.export.convert import REFUSED
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
# how an adapter may begin without changing the base model's own weights
_PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")
_PREFIX = "base_model.model."
# what a layer's own parameters are called in the files
PARTS = ("weight", "bias")

Tensors = dict[str, Tensor]


class Adapter:
    """An adapter in PEFT's format, matched with its base model: which tensors belong to which layer."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.config = _config(folder)
        self.base = read_model(base)
        self.layers: dict[str, Tensors] = defaultdict(dict)
        problems = []
        for name, tensor in _weights(folder).items():
            layer = self._layer_of(name)
            if layer is None:
                problems.append(f"{name} belongs to no layer of the base model")
            else:
                self.layers[layer][name] = tensor
        for layer, tensors in self.layers.items():
            problems += self._misfits(layer, tensors)
        strange = sorted({tensor.dtype for tensor in self.base.values()} - set(ITEM_BYTES))
        problems += [f"the base model holds tensors of the type {dtype}" for dtype in strange]
        if problems:
            raise UserError(
                f"The adapter in {folder} does not fit the base model in {base}: {problems[0]} "
                f"({len(problems)} such problems). Choose the 16-bit model that it was trained on; only "
                "adapters of whole linear layers can be merged."
            )

    def merged(self, layer: str) -> dict[str, bytes]:
        """The layer's own weight and bias by their names in the files, with the adapter in them."""
        shell = self._inject(layer)
        # as PeftModel does: the adapter in float32, the sum rounded once
        cast_adapter_dtype(shell, "default")
        weights = {name: _as_torch(tensor) for name, tensor in self.layers[layer].items()}
        set_peft_model_state_dict(shell, weights)
        module = shell.get_submodule(layer)
        assert isinstance(module, BaseTunerLayer)
        try:
            module.merge()
        except (RuntimeError, ValueError) as error:
            raise _refusal(self.config, error) from error
        values = {part: getattr(module.get_base_layer(), part).data for part in self._parts(layer)}
        # twenty times as fast as isfinite().all(); both ends are NaN as soon as one value is
        if not all(math.isfinite(end.item()) for value in values.values() for end in torch.aminmax(value)):
            raise UserError(
                f"The merged weight of {layer} is not finite: the adapter is broken, or too large for fp16."
            )
        return {f"{layer}.{part}": _as_bytes(value) for part, value in values.items()}

    def _layer_of(self, name: str) -> str | None:
        """`a.b.lora_A.weight` belongs to the layer a.b if the base model has an `a.b.weight`."""
        while name and f"{name}.weight" not in self.base:
            name = name.rpartition(".")[0]
        return name or None

    def _misfits(self, layer: str, tensors: Tensors) -> list[str]:
        """Tensors that PEFT would miss, or not know what to do with. Tries it without any numbers."""
        weight = self.base[f"{layer}.weight"]
        if weight.dtype not in DTYPES or len(weight.shape) != 2:
            return [f"{layer} is {weight.dtype} {list(weight.shape)}, no matrix in 16 or 32 bits"]
        expected = get_peft_model_state_dict(self._inject(layer, empty=True))
        shapes = {name: tuple(value.shape) for name, value in expected.items()}
        there = {name: tensor.shape for name, tensor in tensors.items()}
        return [
            f"{name} has the shape {there.get(name, '(missing)')}, expected is {shapes.get(name, 'none')}"
            for name in sorted(shapes.keys() | there.keys())
            if shapes.get(name) != there.get(name)
        ]

    def _inject(self, layer: str, empty: bool = False) -> nn.Module:
        """A model of nothing but that layer, at its real place: patterns of ranks go by the whole name.

        `empty`: without any numbers.
        """
        rows, columns = self.base[f"{layer}.weight"].shape
        with torch.device("meta"):
            if getattr(self.config, "fan_in_fan_out", False):
                module: nn.Module = Conv1D(columns, rows)
            else:
                module = nn.Linear(columns, rows, bias=f"{layer}.bias" in self.base)
        for part in () if empty else self._parts(layer):
            setattr(module, part, nn.Parameter(_as_torch(self.base[f"{layer}.{part}"]), requires_grad=False))
        for step in reversed(layer.split(".")):
            shell = nn.Module()
            shell.add_module(step, module)
            module = shell
        config = copy.deepcopy(self.config)
        config.target_modules = re.escape(layer)  # pyright: ignore[reportAttributeAccessIssue]
        try:
            return inject_adapter_in_model(config, module, low_cpu_mem_usage=empty)
        except (ValueError, NotImplementedError) as error:
            raise _refusal(self.config, error) from error

    def _parts(self, layer: str) -> list[str]:
        return [part for part in PARTS if f"{layer}.{part}" in self.base]


def _refusal(config: PeftConfig, error: Exception) -> UserError:
    kind = getattr(config.peft_type, "value", config.peft_type)
    return UserError(
        f"This {kind} adapter can't be merged into its base model: {first_line(error)} Train with another "
        "method, a plain LoRA for one."
    )


def _config(folder: Path) -> PeftConfig:
    if not (folder / "adapter_config.json").is_file():
        raise UserError(f"{folder} has no adapter_config.json, so there is no adapter to merge. Train first.")
    try:
        config = PeftConfig.from_pretrained(str(folder))
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{folder} has a damaged adapter_config.json: {first_line(error)}.") from error
    start = getattr(config, "init_lora_weights", True)
    if start not in _PLAIN_STARTS:
        raise UserError(
            f"The adapter in {folder} changed its base model at the start (init_lora_weights={start!r}), so "
            "it can't be merged into the original. Convert it to a plain LoRA with PEFT first."
        )
    if getattr(config, "modules_to_save", None):
        raise UserError(
            f"The adapter in {folder} carries whole modules (modules_to_save) beside its layers; they "
            "can't be merged. Train without them."
        )
    if getattr(config, "bias", "none") == "all":
        raise UserError(
            f"The adapter in {folder} also trains biases of layers that it does not adapt (bias='all'), "
            "which can't be merged. Train with bias='lora_only'."
        )
    config.inference_mode = True
    # the tensors say which layers are adapted
    for narrowing in ("exclude_modules", "layers_to_transform", "layers_pattern"):
        if hasattr(config, narrowing):
            setattr(config, narrowing, None)
    return config


def _weights(folder: Path) -> Tensors:
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        raise UserError(
            f"{folder} has no adapter_model.safetensors, so there is nothing to merge. Train again."
        )
    return {name.removeprefix(_PREFIX): tensor for name, tensor in read_file(file).items()}


def merge(
    base: Path, adapter_folder: Path, out: Path, tell: Callable[[float], None] = lambda share: None
) -> None:
    """Write base + adapter as a Hugging Face folder `out` (one safetensors file, the base's dtypes).

    After each tensor `tell` hears the share done, 0..1. A UserError says what can't be merged.
    """
    adapter = Adapter(adapter_folder, base)
    out.mkdir(parents=True, exist_ok=True)
    copy_companions(base, out)
    total = sum(tensor.bytes for tensor in adapter.base.values()) or 1
    done = 0
    layout = {name: (tensor.dtype, tensor.shape) for name, tensor in adapter.base.items()}
    with TensorWriter(out / "model.safetensors", layout) as writer:
        for name, tensor in adapter.base.items():
            layer, _, part = name.rpartition(".")
            if layer not in adapter.layers or part not in PARTS:
                writer.write(name, tensor.pieces())
            elif part == "weight":
                for own, value in adapter.merged(layer).items():
                    writer.write(own, [value])
            done += tensor.bytes
            tell(done / total)


def copy_companions(base: Path, out: Path) -> None:
    """Copy config, tokenizer, chat template and licence, whichever there are."""
    for name in COPIED:
        if (base / name).is_file():
            shutil.copyfile(base / name, out / name)


def _as_torch(tensor: Tensor) -> torch.Tensor:
    return torch.frombuffer(tensor.read(), dtype=DTYPES[tensor.dtype]).view(tensor.shape)


def _as_bytes(value: torch.Tensor) -> bytes:
    return value.contiguous().view(torch.uint8).numpy().tobytes()


if __name__ == "__main__":
    die_with_parent()
    # PEFT repeats for each layer what it would say once
    warnings.simplefilter("ignore")
    try:
        merge(*map(Path, sys.argv[1:4]), tell=lambda share: print(f"merged {share:.0%}"))
    except UserError as problem:
        print(f"{REFUSED}{problem}")
        sys.exit(2)
