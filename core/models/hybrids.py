"""Families whose layers differ from each other: linear attention, convolutions."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from core.models.experts import Experts
from core.models.families import Family
from core.models.fields import Fields
from core.models.shapes import Attention, Mlp, Parts, Sizes

FULL = ("full_attention", "attention")


def layers_with_attention(fields: Fields, layers: int, missing: tuple[int, ...]) -> tuple[int, ...]:
    """The layers whose kind is full attention; `missing` where the config doesn't list kinds."""
    kinds = fields.words("layer_types") or fields.words("layers_block_type")
    if len(kinds) != layers:
        return missing
    return tuple(number for number in range(layers) if kinds[number] in FULL)


def others(layers: int, taken: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(range(layers)) - set(taken)))


def _qwen_hybrid(parts: Parts, fields: Fields, sizes: Sizes, family: Family, joined: bool = False) -> None:
    """Gated attention (twice the query) in some layers, a gated delta net in the others."""
    interval = fields.whole("full_attention_interval", default=4)
    full = layers_with_attention(fields, sizes.layers, tuple(range(interval - 1, sizes.layers, interval)))
    at, bias = f"{family.blocks}.{{}}.self_attn", fields.flag("attention_bias")
    for name, width in (("q_proj", 2 * sizes.query), ("k_proj", sizes.key), ("v_proj", sizes.key)):
        parts.linear(f"{at}.{name}", sizes.hidden, width, full, "attention", bias)
    parts.linear(f"{at}.o_proj", sizes.query, sizes.hidden, full, "attention", bias)
    parts.extra(2 * sizes.head_dim, len(full))
    rest = others(sizes.layers, full)
    _delta_net(parts, fields, sizes, f"{family.blocks}.{{}}.linear_attn", rest, joined)
    family.add_mlp(parts, fields, sizes)


def _delta_net(
    parts: Parts, fields: Fields, sizes: Sizes, at: str, layers: tuple[int, ...], joined: bool
) -> None:
    value_heads, value_dim = fields.whole("linear_num_value_heads"), fields.whole("linear_value_head_dim")
    key = fields.whole("linear_num_key_heads") * fields.whole("linear_key_head_dim")
    value = value_heads * value_dim
    if joined:
        inputs = {"in_proj_qkvz": 2 * key + 2 * value, "in_proj_ba": 2 * value_heads}
    else:
        heads = {"in_proj_b": value_heads, "in_proj_a": value_heads}
        inputs = {"in_proj_qkv": 2 * key + value, "in_proj_z": value, **heads}
    for name, width in inputs.items():
        parts.linear(f"{at}.{name}", sizes.hidden, width, layers, "attention")
    parts.linear(f"{at}.out_proj", value, sizes.hidden, layers, "attention")
    kernel = fields.whole("linear_conv_kernel_dim", default=4)
    parts.extra((2 * key + value) * kernel + 2 * value_heads + value_dim, len(layers))


def _olmo_hybrid(parts: Parts, fields: Fields, sizes: Sizes, family: Family) -> None:
    """OLMo 3's attention in some layers, a gated delta net with matrices of its own in the others."""
    full = layers_with_attention(
        fields, sizes.layers, tuple(range(3, sizes.layers, 4)) or (sizes.layers - 1,)
    )
    family.attention.add(parts, fields, sizes, family.blocks, full)
    keys = fields.whole("linear_num_key_heads", default=sizes.heads)
    values = fields.whole("linear_num_value_heads", default=sizes.heads)
    narrow = fields.whole("linear_key_head_dim", default=3 * sizes.hidden // (4 * keys))
    wide = fields.whole("linear_value_head_dim", default=2 * narrow)
    key, value, rest = keys * narrow, values * wide, others(sizes.layers, full)
    at = f"{family.blocks}.{{}}.linear_attn"
    inputs = {
        "q_proj": key,
        "k_proj": key,
        "v_proj": value,
        "a_proj": values,
        "b_proj": values,
        "g_proj": value,
    }
    for name, width in inputs.items():
        parts.linear(f"{at}.{name}", sizes.hidden, width, rest, "attention")
    parts.linear(f"{at}.o_proj", value, sizes.hidden, rest, "attention")
    parts.extra((2 * key + value) * fields.whole("linear_conv_kernel_dim") + 2 * values + wide, len(rest))
    family.add_mlp(parts, fields, sizes)


def _lfm2(parts: Parts, fields: Fields, sizes: Sizes, family: Family) -> None:
    """Short convolutions in most layers, attention in a few."""
    everywhere = tuple(range(sizes.layers))
    listed = fields.numbers("full_attn_idxs")
    chosen = set(everywhere if listed is None else listed)
    missing = tuple(number for number in everywhere if number in chosen)
    full = layers_with_attention(fields, sizes.layers, missing)
    family.attention.add(parts, fields, sizes, family.blocks, full)
    rest = others(sizes.layers, full)
    at, bias = f"{family.blocks}.{{}}.conv", fields.flag("conv_bias")
    parts.linear(f"{at}.in_proj", sizes.hidden, 3 * sizes.hidden, rest, "attention", bias)
    parts.linear(f"{at}.out_proj", sizes.hidden, sizes.hidden, rest, "attention", bias)
    kernel = fields.whole("conv_L_cache", default=3)
    parts.extra(sizes.hidden * (kernel + (1 if bias else 0)), len(rest))
    family.add_mlp(parts, fields, sizes)


def _lfm2_width(fields: Fields, sizes: Sizes) -> Sizes:
    """Two thirds of the width in the config, rounded up (modeling_lfm2.py, Lfm2MLP)."""
    wide = fields.whole("block_ff_dim", default=sizes.intermediate)
    if fields.flag("block_auto_adjust_ff_dim"):
        multiple = fields.whole("block_multiple_of", default=256)
        wide = int(fields.factor("block_ffn_dim_multiplier") * int(2 * wide / 3))
        wide = multiple * -(-wide // multiple)
    return replace(sizes, intermediate=wide)


_QWEN_EXPERTS = Experts(shared="shared_expert", shared_gate=True, dense="step")
_BIASED = Attention(bias="attention_bias", out_bias="attention_bias")
_LFM2 = Family(
    attention=Attention(out="out_proj", norm="head"),
    mlp=Mlp("feed_forward", into=(("w1", 1), ("w3", 1)), down="w2"),
    build=_lfm2,
)

HYBRIDS: dict[str, Family] = {
    "qwen3_5_text": Family(build=_qwen_hybrid),
    "qwen3_5_moe_text": Family(build=_qwen_hybrid, experts=_QWEN_EXPERTS),
    "qwen3_next": Family(build=partial(_qwen_hybrid, joined=True), experts=_QWEN_EXPERTS),
    "olmo_hybrid": Family(attention=replace(_BIASED, norm="full"), build=_olmo_hybrid),
    "lfm2": replace(_LFM2, resize=_lfm2_width),
    "lfm2_moe": replace(_LFM2, experts=Experts("feed_forward", dense="leading")),
}
