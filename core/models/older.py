"""Families of before 2024: queries, keys and values in one matrix, learnt positions, biases everywhere."""

from __future__ import annotations

from dataclasses import replace

from core.models.families import Family
from core.models.fields import Fields
from core.models.shapes import Attention, Mlp, Parts, Sizes


def _one_key(fields: Fields, sizes: Sizes) -> Sizes:
    """All heads share one key and one value, or none does."""
    return replace(sizes, kv_heads=1 if fields.flag("multi_query") else sizes.heads)


def _falcon_heads(fields: Fields, sizes: Sizes) -> Sizes:
    if fields.flag("new_decoder_architecture"):
        return sizes
    return _one_key(fields, sizes)


def _falcon(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    if fields.flag("new_decoder_architecture"):
        two = fields.whole("num_ln_in_parallel_attn", default=2) == 2
    else:
        two = not fields.flag("parallel_attn")
    parts.extra(2 * sizes.hidden if two else 0, sizes.layers)


def _every_head(fields: Fields, sizes: Sizes) -> Sizes:
    """No grouped keys, and no width of a head but the usual, whatever else a config says."""
    return replace(sizes, kv_heads=sizes.heads, head_dim=sizes.hidden // sizes.heads)


def _positions(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    parts.extra(fields.whole("max_position_embeddings", "n_positions") * sizes.hidden)


def _opt(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    # two positions more than the context (modeling_opt.py, OPTLearnedPositionalEmbedding)
    parts.extra((fields.whole("max_position_embeddings") + 2) * sizes.hidden)
    narrow = fields.whole("word_embed_proj_dim", default=sizes.hidden)
    if narrow != sizes.hidden:
        # the 350M model's embedding
        parts.extra((narrow - sizes.hidden) * sizes.vocab, 1 if fields.flag("tie_word_embeddings") else 2)
        parts.linear("model.decoder.project_in", narrow, sizes.hidden)
        parts.linear("model.decoder.project_out", sizes.hidden, narrow)
    if not fields.flag("layer_norm_elementwise_affine"):
        parts.extra(-2 * sizes.hidden, 2 * sizes.layers + 1)
    elif not fields.flag("do_layer_norm_before") or fields.flag("_remove_final_layer_norm"):
        parts.extra(-2 * sizes.hidden)


def _persimmon(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    if fields.flag("qk_layernorm"):
        parts.extra(4 * sizes.head_dim, sizes.layers)


def _bloom(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    parts.extra(2 * sizes.hidden)


_GPT_2 = Family(
    attention=Attention("attn", fused="c_attn", out="c_proj", bias=True, out_bias=True),
    mlp=Mlp(into=(("c_fc", 1),), down="c_proj", bias=True),
    blocks="transformer.h",
    embedding="transformer.wte",
    norm_bias=True,
    inner=4,
    more=_positions,
    resize=_every_head,
)

_GPT_J = Family(
    attention=Attention("attn", out="out_proj"),
    mlp=Mlp(into=(("fc_in", 1),), down="fc_out", bias=True),
    blocks="transformer.h",
    embedding="transformer.wte",
    norms=1,
    norm_bias=True,
    head_bias=True,
    inner=4,
    resize=_every_head,
)

OLDER: dict[str, Family] = {
    "falcon": Family(
        attention=Attention(
            "self_attention", fused="query_key_value", out="dense", bias="bias", out_bias="bias"
        ),
        mlp=Mlp(into=(("dense_h_to_4h", 1),), down="dense_4h_to_h", bias="bias"),
        blocks="transformer.h",
        embedding="transformer.word_embeddings",
        norms=1,
        norm_bias=True,
        inner=4,
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
        resize=_every_head,
    ),
    "gpt2": _GPT_2,
    "opt": Family(
        attention=Attention(out="out_proj", bias="enable_bias", out_bias="enable_bias"),
        mlp=Mlp(path="", into=(("fc1", 1),), down="fc2", bias="enable_bias"),
        blocks="model.decoder.layers",
        embedding="model.decoder.embed_tokens",
        norm_bias=True,
        more=_opt,
        resize=_every_head,
    ),
    "bloom": Family(
        attention=Attention("self_attention", fused="query_key_value", out="dense", bias=True, out_bias=True),
        mlp=Mlp(into=(("dense_h_to_4h", 1),), down="dense_4h_to_h", bias=True),
        blocks="transformer.h",
        embedding="transformer.word_embeddings",
        norm_bias=True,
        inner=4,
        more=_bloom,
        resize=_every_head,
    ),
    "mpt": Family(
        attention=Attention("attn", fused="Wqkv", out="out_proj"),
        mlp=Mlp("ffn", into=(("up_proj", 1),)),
        blocks="transformer.blocks",
        embedding="transformer.wte",
        inner=4,
        resize=_every_head,
    ),
    "gpt_bigcode": replace(_GPT_2, resize=_one_key),
    "gpt_neo": replace(_GPT_2, attention=Attention("attn.attention", out="out_proj", out_bias=True)),
    "gptj": _GPT_J,
    "codegen": replace(_GPT_J, attention=Attention("attn", fused="qkv_proj", out="out_proj")),
    "persimmon": Family(
        attention=Attention(fused="query_key_value", out="dense", bias=True, out_bias=True),
        mlp=Mlp(into=(("dense_h_to_4h", 1),), down="dense_4h_to_h", bias=True),
        norm_bias=True,
        more=_persimmon,
        resize=_every_head,
    ),
}
