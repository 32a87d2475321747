"""Ordinary dense decoders by one formula: their shapes at once, offline, from a table of what differs.

A row stands for one `model_type`, as the model code of Transformers 5.17 builds it. What a config says beyond
it, or leaves out, is left to the worker (core.models.shapes_worker).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from core.models.config import MOST_LAYERS, Fields, architecture_of
from core.models.spec import Linear, LinearKind, ModelSpec

# a yes or no, or the config's field that says it
Flag = bool | str
_SEPARATE = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
# fields under which a type of the table is another model: layers of their own sizes, norms that few have
_BEYOND = ("per_layer_config", "text_config", "qk_layernorm", "num_experts", "num_local_experts")


@dataclass(frozen=True)
class Dense:
    """Embedding, blocks of attention and MLP between norms, a head that may be the embedding.

    `qkv` and `into` are one name where their matrices are joined. `tied`, `head`, `keys` are the class's own
    where a config leaves out whether the head is the embedding, a head's width, the number of key heads.
    """

    qkv: tuple[str, ...] = _SEPARATE
    out: str = "self_attn.o_proj"
    into: tuple[str, ...] = ("mlp.gate_proj", "mlp.up_proj")
    down: str = "mlp.down_proj"
    gated: bool = True
    bias: Flag = "attention_bias"
    out_bias: Flag = "attention_bias"
    mlp_bias: Flag = False
    biased: bool = False
    norms: int = 2
    norm_bias: bool = False
    normed: Literal["", "head", "full"] = ""
    head_bias: bool = False
    more: int = 0
    blocks: str = "model.layers"
    embedding: str = "model.embed_tokens"
    tied: bool = False
    head: int | None = None
    keys: int | None = None


_LLAMA = Dense(mlp_bias="mlp_bias")
_MISTRAL = Dense(bias=False, out_bias=False, keys=8)
_GEMMA = Dense(tied=True, head=256)
_GLM = Dense(out_bias=False, into=("mlp.gate_up_proj",), biased=True, head=128, keys=2)
_OLMO_2 = Dense(normed="full")
_UNGATED = replace(_LLAMA, into=("mlp.up_proj",), gated=False)
_NEOX_MLP = {"into": ("mlp.dense_h_to_4h",), "down": "mlp.dense_4h_to_h", "gated": False}
TABLE: dict[str, Dense] = {
    "llama": _LLAMA,
    "granite": _LLAMA,
    "smollm3": replace(_LLAMA, tied=True, keys=4),
    "seed_oss": replace(_LLAMA, out_bias="attention_out_bias", biased=True, head=128, keys=8),
    "mistral": _MISTRAL,
    "ministral": _MISTRAL,
    "ministral3": replace(_MISTRAL, head=128),
    "qwen2": Dense(bias=True, out_bias=False, keys=32),
    "qwen3": Dense(normed="head", head=128, keys=32),
    "gemma": replace(_GEMMA, keys=16),
    "gemma2": replace(_GEMMA, norms=4, keys=4),
    "gemma3_text": replace(_GEMMA, norms=4, keys=4, normed="head"),
    "phi3": replace(_MISTRAL, qkv=("self_attn.qkv_proj",), into=("mlp.gate_up_proj",), keys=None),
    "olmo2": _OLMO_2,
    "olmo3": _OLMO_2,
    "glm": _GLM,
    "glm4": replace(_GLM, norms=4),
    "arcee": _UNGATED,
    # the two learned numbers of its activation, xIELU
    "apertus": replace(_UNGATED, mlp_bias=False, normed="head", more=2),
    "starcoder2": Dense(
        bias="use_bias",
        out_bias="use_bias",
        mlp_bias="use_bias",
        biased=True,
        into=("mlp.c_fc",),
        down="mlp.c_proj",
        gated=False,
        norm_bias=True,
        tied=True,
        keys=2,
    ),
    "phi": Dense(
        out="self_attn.dense",
        into=("mlp.fc1",),
        down="mlp.fc2",
        gated=False,
        bias=True,
        out_bias=True,
        mlp_bias=True,
        norms=1,
        norm_bias=True,
        head_bias=True,
    ),
    "gpt_neox": Dense(
        qkv=("attention.query_key_value",),
        out="attention.dense",
        biased=True,
        mlp_bias=True,
        norm_bias=True,
        blocks="gpt_neox.layers",
        embedding="gpt_neox.embed_in",
        **_NEOX_MLP,
    ),
}


def is_dense(config: dict[str, Any]) -> bool:
    """Whether the formula has this config's shapes."""
    return _type_of(config) in TABLE and not any(config.get(name) for name in _BEYOND)


def _type_of(config: dict[str, Any]) -> str:
    """The model's type, by its class's name where a config leaves it out: LlamaForCausalLM."""
    stem = architecture_of(config).removesuffix("ForCausalLM").lower()
    by_class = next((kind for kind in TABLE if kind.replace("_", "") == stem), "")
    return str(config.get("model_type") or by_class)


def dense_spec(fields: Fields, row: Dense | None = None) -> ModelSpec:
    """The shapes of a dense decoder; a UserError names what its config lacks. `row`: like another type."""
    row = row or TABLE[_type_of(dict(fields.values))]
    hidden, vocab = fields.whole("hidden_size"), fields.whole("vocab_size")
    layers = fields.whole("num_hidden_layers", most=MOST_LAYERS)
    heads = fields.whole("num_attention_heads", most=hidden)
    keys = heads if row.embedding == "gpt_neox.embed_in" else _key_heads(fields, row, heads)
    size = fields.whole("head_dim", default=row.head or hidden // heads)
    wide = fields.whole("intermediate_size")
    tied = fields.flag("tie_word_embeddings", usual=row.tied)
    flags = (row.bias, row.out_bias, row.mlp_bias)
    bias, out_bias, mlp_bias = (fields.flag(flag, row.biased and flag == row.bias) for flag in flags)
    numbers = tuple(range(layers))

    def linear(path: str, inputs: int, outputs: int, kind: LinearKind) -> Linear:
        full = f"{row.blocks}.{{}}.{path}"
        return Linear(path.rpartition(".")[2], inputs, outputs, layers, kind, False, full, numbers)

    query, key = heads * size, keys * size
    sides = (query, key, key) if len(row.qkv) > 1 else (query + 2 * key,)
    attention = [linear(name, hidden, side, "attention") for name, side in zip(row.qkv, sides)]
    attention.append(linear(row.out, query, hidden, "attention"))
    side = 2 * wide if row.gated and len(row.into) == 1 else wide
    mlp = [*(linear(name, hidden, side, "mlp") for name in row.into), linear(row.down, wide, hidden, "mlp")]
    norm = hidden * (2 if row.norm_bias else 1)
    of_heads = {"": 0, "head": 2 * size, "full": query + key}[row.normed]
    biases = bias * sum(sides) + out_bias * hidden + mlp_bias * (side * len(row.into) + hidden)
    total = layers * (biases + row.norms * norm + of_heads + row.more) + norm
    total += vocab * hidden * (1 if tied else 2) + (vocab if row.head_bias else 0)
    total += sum(one.parameters for one in (*attention, *mlp))
    return ModelSpec(
        name="",
        architecture="",
        model_type=_type_of(dict(fields.values)),
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=keys,
        head_dim=size,
        vocab=vocab,
        tied=tied,
        linears=(*attention, *mlp),
        parameters=total,
        active=total,
        embedding_path=row.embedding,
        norms=row.norms,
        normed_heads=1.0 if row.normed else 0.0,
    )


def _key_heads(fields: Fields, row: Dense, heads: int) -> int:
    """One for every head where a null says so; the class's own number where nothing is said."""
    usual = heads if "num_key_value_heads" in fields.values else row.keys or heads
    keys = fields.whole("num_key_value_heads", default=usual)
    if heads % keys:
        raise fields.impossible("num_key_value_heads", keys)
    return keys
