"""The table of families, by `model_type`, as the model code of Transformers 5.17 builds them."""

from __future__ import annotations

from dataclasses import replace

from core.models.families import Family
from core.models.fields import Fields
from core.models.gemma import GEMMAS
from core.models.hybrids import HYBRIDS
from core.models.mixtures import MIXTURES
from core.models.shapes import FUSED_GATE, Attention, Mlp, Parts, Sizes

_ALL_BIASED = Attention(bias="attention_bias", out_bias="attention_bias")
_UNGATED = Mlp(into=(("up_proj", 1),), bias="mlp_bias")
_LLAMA = Family(attention=_ALL_BIASED, mlp=Mlp(bias="mlp_bias"))
_MISTRAL = Family()
_GEMMA = Family(attention=_ALL_BIASED, tied=True, defaults={"head_dim": 256})
_OLMO2 = Family(attention=replace(_ALL_BIASED, norm="full"))
_COHERE = Family(attention=replace(_ALL_BIASED, norm="full", norm_if="use_qk_norm"), norms=1, tied=True)
_GLM = Family(attention=Attention(bias="attention_bias"), mlp=Mlp(into=FUSED_GATE))
# Gemma 3's published configs leave out what is the class's default
_GEMMA3 = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262208}


def _stablelm(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    if not fields.flag("use_parallel_residual"):
        parts.extra(2 * sizes.hidden, sizes.layers)


def _phi(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    if fields.flag("qk_layernorm"):
        parts.extra(4 * sizes.head_dim, sizes.layers)


def _apertus(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    # the two learned numbers of its activation, xIELU
    parts.extra(2, sizes.layers)


def _falcon_heads(fields: Fields, sizes: Sizes) -> Sizes:
    if fields.flag("new_decoder_architecture"):
        return sizes
    return replace(sizes, kv_heads=1 if fields.flag("multi_query") else sizes.heads)


def _falcon(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    if fields.flag("new_decoder_architecture"):
        two = fields.whole("num_ln_in_parallel_attn", default=2) == 2
    else:
        two = not fields.flag("parallel_attn")
    parts.extra(2 * sizes.hidden if two else 0, sizes.layers)


def _every_head(fields: Fields, sizes: Sizes) -> Sizes:
    """No grouped keys, and no width of a head but the usual, whatever else a config says."""
    return replace(sizes, kv_heads=sizes.heads, head_dim=sizes.hidden // sizes.heads)


def _gpt2(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    parts.extra(fields.whole("max_position_embeddings", "n_positions") * sizes.hidden)


def _opt(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    # two positions more than the context (modeling_opt.py, OPTLearnedPositionalEmbedding)
    parts.extra((fields.whole("max_position_embeddings") + 2) * sizes.hidden)


def _bloom(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    parts.extra(2 * sizes.hidden)


DENSE: dict[str, Family] = {
    "llama": _LLAMA,
    "cwm": _MISTRAL,
    "mistral": _MISTRAL,
    "ministral": _MISTRAL,
    "ministral3": _MISTRAL,
    "granite": _LLAMA,
    "smollm3": replace(_LLAMA, tied=True),
    "helium": Family(attention=Attention(bias="attention_bias"), mlp=Mlp(bias="mlp_bias")),
    "seed_oss": Family(
        attention=Attention(bias="attention_bias", out_bias="attention_out_bias"),
        mlp=Mlp(bias="mlp_bias"),
        defaults={"attention_bias": True},
    ),
    "ernie4_5": Family(
        attention=Attention(bias="use_bias", out_bias="use_bias"),
        mlp=Mlp(bias="use_bias"),
        tied=True,
        defaults={"head_dim": 128},
    ),
    "qwen2": Family(attention=Attention(bias=True)),
    "qwen3": Family(attention=replace(_ALL_BIASED, norm="head"), defaults={"head_dim": 128}),
    "hunyuan_v1_dense": Family(attention=replace(_ALL_BIASED, norm="head")),
    "exaone4": Family(attention=Attention(norm="head")),
    "arcee": Family(attention=_ALL_BIASED, mlp=_UNGATED),
    "apertus": Family(attention=replace(_ALL_BIASED, norm="head"), mlp=_UNGATED, more=_apertus),
    "nemotron": Family(attention=_ALL_BIASED, mlp=_UNGATED, norm_bias=True),
    "gemma": _GEMMA,
    "gemma2": replace(_GEMMA, norms=4),
    "gemma3_text": replace(_GEMMA, attention=replace(_ALL_BIASED, norm="head"), norms=4, defaults=_GEMMA3),
    "vaultgemma": _GEMMA,
    "olmo": Family(attention=_ALL_BIASED, norms=0, final_norm=False),
    "olmo2": _OLMO2,
    "olmo3": _OLMO2,
    "cohere": _COHERE,
    "cohere2": replace(_COHERE, attention=_ALL_BIASED),
    "glm": _GLM,
    "glm4": replace(_GLM, norms=4),
    "phi": Family(
        attention=Attention(out="dense", bias=True, out_bias=True),
        mlp=Mlp(into=(("fc1", 1),), down="fc2", bias=True),
        norms=1,
        norm_bias=True,
        head_bias=True,
        inner=4,
        more=_phi,
    ),
    "phi3": Family(attention=Attention(fused="qkv_proj"), mlp=Mlp(into=FUSED_GATE)),
    "starcoder2": Family(
        attention=Attention(bias="use_bias", out_bias="use_bias"),
        mlp=Mlp(into=(("c_fc", 1),), down="c_proj", bias="use_bias"),
        norm_bias=True,
        tied=True,
        defaults={"use_bias": True},
    ),
    "stablelm": Family(
        attention=Attention(bias="use_qkv_bias", norm="full", norm_if="qk_layernorm"),
        norms=1,
        norm_bias=True,
        more=_stablelm,
    ),
    "falcon": Family(
        attention=Attention(
            "self_attention", fused="query_key_value", out="dense", bias="bias", out_bias="bias"
        ),
        mlp=Mlp(into=(("dense_h_to_4h", 1),), down="dense_4h_to_h", bias="bias"),
        blocks="transformer.h",
        embedding="transformer.word_embeddings",
        norms=1,
        norm_bias=True,
        tied=True,
        inner=4,
        defaults={"multi_query": True, "parallel_attn": True},
        resize=_falcon_heads,
        more=_falcon,
    ),
    "gpt_neox": Family(
        attention=Attention(
            "attention",
            fused="query_key_value",
            out="dense",
            bias="attention_bias",
            out_bias="attention_bias",
        ),
        mlp=Mlp(into=(("dense_h_to_4h", 1),), down="dense_4h_to_h", bias=True),
        blocks="gpt_neox.layers",
        embedding="gpt_neox.embed_in",
        norm_bias=True,
        defaults={"attention_bias": True},
        resize=_every_head,
    ),
    "gpt2": Family(
        attention=Attention("attn", fused="c_attn", out="c_proj", bias=True, out_bias=True),
        mlp=Mlp(into=(("c_fc", 1),), down="c_proj", bias=True),
        blocks="transformer.h",
        embedding="transformer.wte",
        norm_bias=True,
        tied=True,
        inner=4,
        more=_gpt2,
        resize=_every_head,
    ),
    "opt": Family(
        attention=Attention(out="out_proj", bias=True, out_bias=True),
        mlp=Mlp(path="", into=(("fc1", 1),), down="fc2", bias=True),
        blocks="model.decoder.layers",
        embedding="model.decoder.embed_tokens",
        norm_bias=True,
        tied=True,
        more=_opt,
        resize=_every_head,
    ),
    "bloom": Family(
        attention=Attention("self_attention", fused="query_key_value", out="dense", bias=True, out_bias=True),
        mlp=Mlp(into=(("dense_h_to_4h", 1),), down="dense_4h_to_h", bias=True),
        blocks="transformer.h",
        embedding="transformer.word_embeddings",
        norm_bias=True,
        tied=True,
        inner=4,
        more=_bloom,
        resize=_every_head,
    ),
    "mpt": Family(
        attention=Attention("attn", fused="Wqkv", out="out_proj"),
        mlp=Mlp("ffn", into=(("up_proj", 1),)),
        blocks="transformer.blocks",
        embedding="transformer.wte",
        tied=True,
        inner=4,
        resize=_every_head,
    ),
}

FAMILIES: dict[str, Family] = {**DENSE, **MIXTURES, **HYBRIDS, **GEMMAS}
