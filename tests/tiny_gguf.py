"""A whole little GGUF model with random weights and the starter's vocabulary, and a LoRA adapter for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.base.home import STARTER_GGUF
from core.models.converter import gguf
from core.models.gguf_header import read_header

HIDDEN, INNER, LAYERS, HEADS, KV_HEADS = 64, 128, 2, 4, 2
CONTEXT = 4096
ADAPTED = "blk.0.ffn_down.weight"


def write_tiny_gguf(file: Path, changes: dict[str, Any] | None = None, adapted: Any = 0) -> Path:
    """Write the model, with `changes` of its metadata, and with `adapted` added to the weights ADAPTED."""
    writer = gguf().GGUFWriter(file, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    header = read_header(STARTER_GGUF, arrays=True).metadata
    vocabulary = {key: value for key, value in header.items() if key.startswith("tokenizer.")}
    for key, value in {**vocabulary, **(changes or {})}.items():
        kinds = gguf().GGUFValueType
        kind = kinds.UINT32 if key.endswith("_id") else kinds.get_type(value)
        writer.add_key_value(key, value, kind)
    for name, weights in _weights(len(header["tokenizer.ggml.tokens"])).items():
        writer.add_tensor(name, (weights + (adapted if name == ADAPTED else 0)).astype(np.float32))
    return _write(writer, file)


def write_tiny_lora(file: Path, seed: int = 1, rank: int = 2) -> np.ndarray:
    """Write an adapter of ADAPTED to `file`; returns what it adds to these weights at scale 1."""
    random = np.random.default_rng(seed)
    a = random.normal(0, 1, (rank, INNER)).astype(np.float32)
    b = random.normal(0, 1, (HIDDEN, rank)).astype(np.float32)
    writer = gguf().GGUFWriter(file, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    writer.add_tensor(f"{ADAPTED}.lora_a", a)
    writer.add_tensor(f"{ADAPTED}.lora_b", b)
    _write(writer, file)
    return b @ a


def _weights(vocabulary: int) -> dict[str, np.ndarray]:
    kv = HIDDEN // HEADS * KV_HEADS
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (vocabulary, HIDDEN),
        "output_norm.weight": (HIDDEN,),
    }
    for layer in range(LAYERS):
        parts = {
            "attn_q": (HIDDEN, HIDDEN),
            "attn_k": (kv, HIDDEN),
            "attn_v": (kv, HIDDEN),
            "attn_output": (HIDDEN, HIDDEN),
            "ffn_gate": (INNER, HIDDEN),
            "ffn_up": (INNER, HIDDEN),
            "ffn_down": (HIDDEN, INNER),
            "attn_norm": (HIDDEN,),
            "ffn_norm": (HIDDEN,),
        }
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in parts.items()}
    random = np.random.default_rng(0)
    return {
        name: np.ones(shape) if "norm" in name else random.normal(0, 0.2, shape)
        for name, shape in shapes.items()
    }


def _write(writer: Any, file: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
