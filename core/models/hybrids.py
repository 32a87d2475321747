"""Families whose layers differ from each other: linear attention, convolutions, state spaces."""

from __future__ import annotations

from dataclasses import replace

from core.errors import UserError
from core.models.families import Family
from core.models.fields import Fields
from core.models.shapes import Attention, Experts, Mlp, Parts, Sizes

_FULL = ("full_attention", "attention")


def layers_with_attention(fields: Fields, layers: int, missing: tuple[int, ...]) -> tuple[int, ...]:
    """The layers whose kind is full attention; `missing` where the config doesn't list kinds."""
    kinds = fields.words("layer_types") or fields.words("layers_block_type")
    if len(kinds) != layers:
        return missing
    return tuple(number for number in range(layers) if kinds[number] in _FULL)


def others(layers: int, taken: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(range(layers)) - set(taken)))


def _qwen_hybrid(parts: Parts, fields: Fields, sizes: Sizes, family: Family) -> None:
    """Gated attention (twice the query) in some layers, a gated delta net in the others."""
    interval = fields.whole("full_attention_interval", default=4)
    full = layers_with_attention(fields, sizes.layers, tuple(range(interval - 1, sizes.layers, interval)))
    at, bias = f"{family.blocks}.{{}}.self_attn", fields.flag("attention_bias")
    for name, width in (("q_proj", 2 * sizes.query), ("k_proj", sizes.key), ("v_proj", sizes.key)):
        parts.linear(f"{at}.{name}", sizes.hidden, width, full, "attention", bias)
    parts.linear(f"{at}.o_proj", sizes.query, sizes.hidden, full, "attention", bias)
    parts.extra(2 * sizes.head_dim, len(full))
    _delta_net(parts, fields, sizes, f"{family.blocks}.{{}}.linear_attn", others(sizes.layers, full))
    family.add_mlp(parts, fields, sizes)


def _delta_net(parts: Parts, fields: Fields, sizes: Sizes, at: str, layers: tuple[int, ...]) -> None:
    value_heads, value_dim = fields.whole("linear_num_value_heads"), fields.whole("linear_value_head_dim")
    key = fields.whole("linear_num_key_heads") * fields.whole("linear_key_head_dim")
    value = value_heads * value_dim
    if fields.flag("_joined"):
        inputs = {"in_proj_qkvz": 2 * key + 2 * value, "in_proj_ba": 2 * value_heads}
    else:
        heads = {"in_proj_b": value_heads, "in_proj_a": value_heads}
        inputs = {"in_proj_qkv": 2 * key + value, "in_proj_z": value, **heads}
    for name, width in inputs.items():
        parts.linear(f"{at}.{name}", sizes.hidden, width, layers, "attention")
    parts.linear(f"{at}.out_proj", value, sizes.hidden, layers, "attention")
    kernel = fields.whole("linear_conv_kernel_dim", default=4)
    parts.extra((2 * key + value) * kernel + 2 * value_heads + value_dim, len(layers))


def _lfm2(parts: Parts, fields: Fields, sizes: Sizes, family: Family) -> None:
    """Short convolutions in most layers, attention in a few."""
    everywhere = tuple(range(sizes.layers))
    listed = fields.numbers("full_attn_idxs")
    missing = everywhere if listed is None else tuple(number for number in everywhere if number in listed)
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


def _mamba(parts: Parts, fields: Fields, sizes: Sizes, at: str, layers: tuple[int, ...], wide: int) -> None:
    """Mamba 2: one matrix in, one out, a short convolution (Dao and Gu 2024, section 7)."""
    heads = fields.whole("mamba_num_heads", "mamba_n_heads")
    groups = fields.whole("n_groups", "mamba_n_groups")
    mixed = wide + 2 * groups * fields.whole("ssm_state_size", "mamba_d_state")
    bias = fields.flag("mamba_proj_bias")
    parts.linear(f"{at}.in_proj", sizes.hidden, wide + mixed + heads, layers, "attention", bias)
    out_bias = fields.flag("projectors_bias") if fields.get("projectors_bias") is not None else bias
    parts.linear(f"{at}.out_proj", wide, sizes.hidden, layers, "attention", out_bias)
    biased = fields.get("use_conv_bias", "mamba_conv_bias")
    kernel = fields.whole("conv_kernel", "mamba_d_conv") + (1 if biased else 0)
    parts.extra(mixed * kernel + 3 * heads, len(layers))


def _granite_hybrid(parts: Parts, fields: Fields, sizes: Sizes, family: Family) -> None:
    """Mamba in most layers, attention in a few; experts if there are any, and a shared MLP."""
    full = layers_with_attention(fields, sizes.layers, ())
    rest = others(sizes.layers, full)
    family.attention.add(parts, fields, sizes, family.blocks, full)
    wide = fields.whole("mamba_expand") * sizes.hidden
    _mamba(parts, fields, sizes, f"{family.blocks}.{{}}.mamba", rest, wide)
    parts.extra(wide, len(rest))
    everywhere = tuple(range(sizes.layers))
    if family.experts and fields.whole("num_local_experts", default=0, least=0):
        family.experts.add(parts, fields, sizes, family.blocks, everywhere)
    shared = Mlp("shared_mlp", into=(("input_linear", 2),), down="output_linear")
    width = fields.whole("shared_intermediate_size", default=1024)
    shared.add(parts, fields, sizes, family.blocks, everywhere, width)


def _falcon_h1(parts: Parts, fields: Fields, sizes: Sizes, family: Family) -> None:
    """Attention and Mamba side by side in every layer."""
    everywhere = tuple(range(sizes.layers))
    family.attention.add(parts, fields, sizes, family.blocks, everywhere)
    wide = fields.whole("mamba_d_ssm", default=fields.whole("mamba_expand") * sizes.hidden)
    _mamba(parts, fields, sizes, f"{family.blocks}.{{}}.mamba", everywhere, wide)
    parts.extra(wide if fields.flag("mamba_rms_norm") else 0, sizes.layers)
    family.mlp.add(parts, fields, sizes, family.blocks, everywhere)


def _nemotron_layers(fields: Fields, sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Each layer is one thing only. Old configs spell it in one word: M, E, * and -."""
    letters = fields.get("hybrid_override_pattern")
    kinds = list(letters) if isinstance(letters, str) else fields.words("layers_block_type")
    kinds = kinds or fields.words("layer_types")
    if len(kinds) != sizes.layers:
        raise UserError(f"{fields.where} names the kinds of {len(kinds)} of {sizes.layers} layers.")
    names = {
        "mamba": ("M", "mamba", "linear_attention"),
        "moe": ("E", "moe"),
        "attention": ("*", *_FULL),
        "mlp": ("-", "mlp"),
    }
    return {name: tuple(n for n, kind in enumerate(kinds) if kind in words) for name, words in names.items()}


def _nemotron_h(parts: Parts, fields: Fields, sizes: Sizes, family: Family) -> None:
    """Mamba, attention, experts or an MLP, one of them a layer (modeling_nemotron_h.py)."""
    layers = _nemotron_layers(fields, sizes)
    family.attention.add(parts, fields, sizes, family.blocks, layers["attention"])
    family.mlp.add(parts, fields, sizes, family.blocks, layers["mlp"])
    wide = fields.whole("mamba_num_heads") * fields.whole("mamba_head_dim")
    _mamba(parts, fields, sizes, f"{family.blocks}.{{}}.mixer", layers["mamba"], wide)
    parts.extra(wide, len(layers["mamba"]))
    if layers["moe"]:
        _nemotron_experts(parts, fields, sizes, f"{family.blocks}.{{}}.mixer", layers["moe"])


def _nemotron_experts(parts: Parts, fields: Fields, sizes: Sizes, at: str, layers: tuple[int, ...]) -> None:
    number, used = fields.whole("n_routed_experts"), fields.whole("num_experts_per_tok", default=2)
    width, shared = fields.whole("moe_intermediate_size"), fields.whole("moe_shared_expert_intermediate_size")
    narrow = fields.whole("moe_latent_size", default=sizes.hidden)
    parts.linear(f"{at}.gate", sizes.hidden, number, layers, fused=True)
    for name, inputs, outputs in (("up_proj", narrow, width), ("down_proj", width, narrow)):
        parts.linear(f"{at}.experts.{name}", inputs, outputs, layers, "expert", fused=True, each=number)
    parts.idle += 2 * narrow * width * len(layers) * max(0, number - used)
    parts.linear(f"{at}.shared_experts.up_proj", sizes.hidden, shared, layers, "mlp")
    parts.linear(f"{at}.shared_experts.down_proj", shared, sizes.hidden, layers, "mlp")
    if narrow != sizes.hidden:
        parts.linear(f"{at}.fc1_latent_proj", sizes.hidden, narrow, layers)
        parts.linear(f"{at}.fc2_latent_proj", narrow, sizes.hidden, layers)


_DELTA = {
    "linear_num_value_heads": 32,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_key_head_dim": 128,
    "head_dim": 256,
}
_MAMBA = {
    "mamba_n_heads": 128,
    "mamba_n_groups": 1,
    "mamba_d_state": 256,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "mamba_conv_bias": True,
}
_QWEN_EXPERTS = Experts(shared="shared_expert", shared_gate=True, dense="step")
_BIASED = Attention(bias="attention_bias", out_bias="attention_bias")
_LFM2 = Family(
    attention=Attention(out="out_proj", norm="head"),
    mlp=Mlp("feed_forward", into=(("w1", 1), ("w3", 1)), down="w2"),
    tied=True,
    build=_lfm2,
)

HYBRIDS: dict[str, Family] = {
    "qwen3_5_text": Family(build=_qwen_hybrid, defaults=_DELTA),
    "qwen3_5_moe_text": Family(build=_qwen_hybrid, experts=_QWEN_EXPERTS, defaults=_DELTA),
    "qwen3_next": Family(build=_qwen_hybrid, experts=_QWEN_EXPERTS, defaults={**_DELTA, "_joined": True}),
    "lfm2": replace(_LFM2, resize=_lfm2_width, defaults={"block_auto_adjust_ff_dim": True}),
    "lfm2_moe": replace(_LFM2, experts=Experts("feed_forward", dense="leading")),
    "granitemoehybrid": Family(
        attention=_BIASED,
        experts=Experts("block_sparse_moe", width=("intermediate_size",), router="router"),
        build=_granite_hybrid,
        defaults=_MAMBA,
    ),
    "nemotron_h": Family(
        attention=Attention("mixer"),
        mlp=Mlp("mixer", into=(("up_proj", 1),), bias="mlp_bias"),
        embedding="model.embeddings",
        norms=1,
        build=_nemotron_h,
        defaults={**_MAMBA, "mamba_n_groups": 8, "mamba_d_state": 128, "head_dim": 128},
    ),
    "falcon_h1": Family(
        attention=_BIASED, mlp=Mlp("feed_forward", bias="mlp_bias"), build=_falcon_h1, defaults=_MAMBA
    ),
}
