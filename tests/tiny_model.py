"""A whole little model with random weights and a real tokenizer, for tests that need any model at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from core.base.files import write_json
from core.base.home import STARTER_GGUF
from core.models.gguf_header import read_header
from core.models.starter import write_tokenizer


def make_tiny_model(folder: Path, seed: int = 0) -> Path:
    """A whole little Llama (2 layers, hidden size 64, random weights) with the starter's real tokenizer.

    Written without torch, in a blink; every worker and llama.cpp take it for a model like any other.
    """
    hidden, inner, layers, heads, kv_heads = 64, 128, 2, 4, 2
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(read_header(STARTER_GGUF, arrays=True), folder)
    vocabulary = len(Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab())
    kv = hidden // heads * kv_heads
    shapes = {"model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,)}
    for layer in range(layers):
        parts = {
            "self_attn.q_proj": (hidden, hidden),
            "self_attn.k_proj": (kv, hidden),
            "self_attn.v_proj": (kv, hidden),
            "self_attn.o_proj": (hidden, hidden),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
            "input_layernorm": (hidden,),
            "post_attention_layernorm": (hidden,),
        }
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in parts.items()}
    random = np.random.default_rng(seed)
    tensors = {
        name: (np.ones(shape) if "norm" in name else random.normal(0, 0.05, shape)).astype(np.float32)
        for name, shape in shapes.items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(
        folder / "config.json", _llama_config(hidden, inner, layers, heads, kv_heads, vocabulary, folder)
    )
    return folder


def _llama_config(
    hidden: int, inner: int, layers: int, heads: int, kv_heads: int, vocabulary: int, folder: Path
) -> dict[str, object]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "bos_token_id": tokenizer.token_to_id("<|im_start|>"),
        "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
    }
