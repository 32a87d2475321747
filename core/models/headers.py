"""safetensors headers: what is stored, how many parameters, the shapes of types that Transformers lacks."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.models.config import Fields, architecture_of, context_of, shown, stored_as, text_part
from core.models.spec import Linear, LinearKind, ModelSpec

# room for 200,000 tensors; safetensors itself takes three times that
MAX_HEADER = 32 << 20
LENGTH_BYTES = 8
# bits of one element (safetensors, tensor.rs, Dtype)
BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("BF16", "F16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("F4", "FP4"), 4),
}
# no side of a tensor and no file is longer
_LARGEST = 1 << 48
# nothing that a terminal, a file or str.format takes for anything but a name
_TENSOR_NAME = re.compile("[^\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff{}]{1,512}")
_SHARD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}\.safetensors")
# kinds whose tensors have the shapes of the matrices that they hold
UNPACKED = ("bf16", "fp16", "fp32", "fp8")
_NAMES = {"BF16": "bf16", "F16": "fp16", "F32": "fp32", "F8_E4M3": "fp8", "F8_E5M2": "fp8"}
# what quantizers lay beside a weight: scales, code books, notes (bitsandbytes, GPTQ and AWQ, FP8, MXFP4)
_BESIDE = re.compile(
    r"\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..*|SCB|weight_format|qzeros|scales"
    r"|g_idx|weight_scale|weight_scale_inv|input_scale|activation_scale)$|_scales$"
)
# what Transformers doesn't load as parameters: heads that guess more tokens, buffers of old checkpoints
_NOT_LOADED = re.compile(r"^(model\.)?mtp\.|\.rotary_emb\.inv_freq$|\.(attn|attention)\.(masked_)?bias$")
_LAYER = re.compile(r"^model\.(?:language_model\.)?layers\.(\d+)\.")
_NUMBER = re.compile(r"\.(\d+)(?=\.)")
# the width of a head in most models, where a config tells none
_USUAL_HEAD = 128
_EMBEDDINGS = tuple(
    f"{name}.weight" for name in ("embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings")
)


@dataclass(frozen=True)
class Stored:
    """What the weights' files hold: logical parameters, bytes, and the kind most of them are."""

    parameters: int
    bytes: int
    kind: str
    shapes: dict[str, tuple[int, ...]]


def parse_header(raw: bytes, where: str) -> dict[str, Any]:
    """Tensor name → {dtype, shape, data_offsets}, each entry checked. `raw` is the JSON after the length."""
    try:
        header = json.loads(raw)
        header.pop("__metadata__", None)
        end = 0
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            end = _checked(name, entry, end)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{where} is damaged ({str(error)[:99]}). Download or copy it again.") from error
    return header


def _checked(name: str, entry: Mapping[str, Any], start: int) -> int:
    """Where a tensor ends that must begin at `start`: safetensors allows no gaps and nothing twice."""
    kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not _TENSOR_NAME.fullmatch(name):
        raise ValueError(f"a tensor with the impossible name {shown(name)}")
    if not isinstance(kind, str) or not all(_whole(number) for number in (*shape, begin, end)):
        raise ValueError("a tensor without type or size")
    if begin != start or end < begin:
        raise ValueError("tensors that overlap or leave a gap")
    bits, elements = 8 * (end - begin), math.prod(shape)
    if elements * BITS[kind] != bits if kind in BITS else elements > bits:
        raise ValueError("a tensor whose shape is not its size")
    return end


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST


def shard_names(index: Any, where: str) -> list[str]:
    """The files that an index of weights names, in its order; none where it is no index."""
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict):
        return []
    if not all(isinstance(name, str) and _SHARD.fullmatch(name) for name in names.values()):
        raise UserError(f"{where} names impossible files. Get the model again.")
    return list(dict.fromkeys(names.values()))


def header_length(raw: bytes, where: str) -> int:
    """The length of the header from the file's first eight bytes."""
    length = int.from_bytes(raw[:LENGTH_BYTES], "little")
    if len(raw) < LENGTH_BYTES or not 2 <= length <= MAX_HEADER:
        raise UserError(f"{where} is damaged (impossible header length). Download or copy it again.")
    return length


def safetensors_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: tensor name → {dtype, shape, data_offsets}."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = header_length(file.read(LENGTH_BYTES), str(path))
        header = parse_header(file.read(length), str(path)) if length < size else {}
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if size != LENGTH_BYTES + length + end:
        raise UserError(f"{path} is damaged (the file is cut off). Download or copy it again.")
    return header


def stored_in(
    headers: Iterable[Mapping[str, Any]], tied: bool = False, bits: int = 4, layers: int | None = None
) -> Stored:
    """All headers of a model together. `bits` is the width that GPTQ and AWQ pack into 32.

    A head that is tied to the embedding, and layers beyond `layers`, are stored by some and never loaded.
    """
    entries = {name: entry for header in headers for name, entry in header.items()}
    shapes: dict[str, tuple[int, ...]] = {}
    kinds: dict[str, int] = {}
    for name, entry in entries.items():
        if _BESIDE.search(name) or _NOT_LOADED.search(name) or (tied and name == "lm_head.weight"):
            continue
        number = _LAYER.match(name) if layers is not None else None
        if number and int(number[1]) >= (layers or 0):
            continue
        kind, times = _packing(name, entry["dtype"], entries, bits)
        shape = tuple(entry["shape"])
        shapes[name] = (*shape[:-1], shape[-1] * times) if shape else ()
        kinds[kind] = kinds.get(kind, 0) + math.prod(shapes[name])
    size = sum(entry["data_offsets"][1] - entry["data_offsets"][0] for entry in entries.values())
    return Stored(sum(kinds.values()), size, _kind(kinds, shapes, entries), shapes)


def _packing(name: str, dtype: str, entries: Mapping[str, Any], bits: int) -> tuple[str, int]:
    """What a tensor holds, and how many parameters one of its elements is."""
    if dtype == "U8" and f"{name}.absmax" in entries:
        return "nf4", 2
    if dtype == "I8" and f"{name.removesuffix('.weight')}.SCB" in entries:
        return "int8", 1
    if dtype == "I32" and name.endswith(".qweight"):
        return f"int{bits}", 32 // bits
    if dtype == "U8" and name.endswith("_blocks"):
        return "mxfp4", 2
    return _NAMES.get(dtype, dtype.lower()), 1


def _kind(kinds: Mapping[str, int], shapes: Mapping[str, Any], entries: Mapping[str, Any]) -> str:
    """The kind of most parameters; `mixed` where some projections were left out of a 4-bit model."""
    most = max(kinds, key=lambda kind: kinds[kind], default="")
    if most != "nf4":
        return most
    left_out = any(
        name.endswith("_proj.weight") and entries[name]["dtype"] in ("BF16", "F16", "F32") for name in shapes
    )
    return "mixed" if left_out else "nf4"


def linears_of(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Linear, ...]:
    """The matrices in numbered blocks, for an architecture that is not in the table."""
    groups: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for name, shape in shapes.items():
        numbers = _NUMBER.findall(name)
        matrix = len(shape) == 2 or (len(shape) == 3 and "expert" in name)
        if matrix and numbers and "embed" not in name:
            # the last number of several is an expert's
            path = _NUMBER.sub(".{}", name, count=1).removesuffix(".weight").removesuffix(".qweight")
            groups.setdefault((_NUMBER.sub(".*", path), shape), []).append(int(numbers[0]))
    return tuple(_linear(path, shape, layers) for (path, shape), layers in groups.items())


def _linear(path: str, shape: tuple[int, ...], layers: list[int]) -> Linear:
    times = shape[0] if len(shape) == 3 else 1
    return Linear(
        name=path.rpartition(".")[2],
        inputs=shape[-1],
        outputs=shape[-2],
        count=len(layers) * times,
        kind=_kind_of(path),
        fused=len(shape) == 3,
        path=path,
        layers=tuple(layers) if "*" not in path else (),
    )


def _kind_of(path: str) -> LinearKind:
    if "expert" in path:
        return "expert"
    if "attn" in path or "attention" in path:
        return "attention"
    return "mlp" if re.search(r"mlp|feed_forward|ffn", path) else "other"


def spec_of_headers(config: dict[str, Any], stored: Stored, name: str, where: str) -> ModelSpec | None:
    """A model of an unknown type, counted from its weights: the sum is right, each matrix's use is guessed.

    None where the weights are packed, so that they don't show their shapes.
    """
    linears = linears_of(stored.shapes) if stored.kind in UNPACKED else ()
    if not linears:
        return None
    fields = Fields(text_part(config), where)
    vocab, hidden = _embedding(stored, where)
    heads = fields.whole("num_attention_heads", "n_head", "n_heads", default=max(1, hidden // _USUAL_HEAD))
    layers = 1 + max(max(linear.layers, default=0) for linear in linears)
    number = fields.whole(
        "num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", default=0, least=0
    )
    used = fields.whole("num_experts_per_tok", "top_k_experts", "moe_k", default=number, least=0)
    experts = sum(linear.parameters for linear in linears if linear.kind == "expert")
    return ModelSpec(
        name=name,
        architecture=architecture_of(config),
        model_type=str(config.get("model_type", "")),
        hidden=hidden,
        layers=fields.whole("num_hidden_layers", "n_layer", "n_layers", default=layers),
        heads=heads,
        kv_heads=fields.whole("num_key_value_heads", "num_kv_heads", default=heads),
        head_dim=fields.whole("head_dim", default=max(1, hidden // heads)),
        vocab=vocab,
        tied=not any(tensor.endswith("lm_head.weight") for tensor in stored.shapes),
        linears=linears,
        parameters=stored.parameters,
        active=stored.parameters - experts * max(0, number - used) // max(1, number),
        context=context_of(config),
        experts=number,
        exact=False,
        stored=stored_as(config),
    )


def _embedding(stored: Stored, where: str) -> tuple[int, int]:
    for name, shape in stored.shapes.items():
        if name.endswith(_EMBEDDINGS) and len(shape) == 2:
            return shape[0], shape[1]
    raise UserError(f"{where} is of an unknown type, and the weights have no embedding to count from.")
