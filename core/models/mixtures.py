"""Families with a mixture of experts. Transformers 5 keeps all experts of a layer in one parameter."""

from __future__ import annotations

from dataclasses import replace

from core.models.experts import Experts
from core.models.families import Family
from core.models.fields import Fields
from core.models.shapes import Attention, LatentAttention, Mlp, Parts, Sizes, sinks

_ALL_BIASED = Attention(bias="attention_bias", out_bias="attention_bias")
_FULL_WIDTH = ("intermediate_size",)
_MIXTRAL = Family(experts=Experts(width=_FULL_WIDTH))
_GLM_MOE = Family(
    attention=Attention(bias="attention_bias", norm="head", norm_if="use_qk_norm"),
    experts=Experts(shared="shared_experts", dense="first"),
)
_GRANITE = Family(
    attention=_ALL_BIASED, experts=Experts("block_sparse_moe", width=_FULL_WIDTH, router="router")
)
_DEEPSEEK = Family(attention=LatentAttention(), experts=Experts(shared="shared_experts", dense="first"))


def _afmoe(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    # attention is gated, and the router has a learned bias for each expert
    layers = range(sizes.layers)
    parts.linear("model.layers.{}.self_attn.gate_proj", sizes.hidden, sizes.query, layers, "attention")
    sparse = _LEADING.sparse_layers(fields, sizes.layers)
    parts.extra(fields.whole("num_experts"), len(sparse))


def _ernie(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    experts = Experts(number=("moe_num_experts",), dense="start")
    sparse = experts.sparse_layers(fields, sizes.layers)
    parts.extra(fields.whole("moe_num_experts"), len(sparse))


def _hunyuan(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    Mlp("mlp.shared_mlp").add(parts, fields, sizes, "model.layers", range(sizes.layers))


def granite_shared(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    shared = Mlp("shared_mlp", into=(("input_linear", 2),), down="output_linear")
    if width := fields.whole("shared_intermediate_size", default=0, least=0):
        shared.add(parts, fields, sizes, "model.layers", range(sizes.layers), width)


def _granite_with_sinks(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    sinks(parts, fields, sizes)
    granite_shared(parts, fields, sizes)


def _llama4(parts: Parts, fields: Fields, sizes: Sizes, family: Family) -> None:
    """Experts in every layer, or in one of several (modeling_llama4.py, Llama4TextDecoderLayer)."""
    everywhere = tuple(range(sizes.layers))
    family.attention.add(parts, fields, sizes, family.blocks, everywhere)
    step = fields.whole("interleave_moe_layer_step", default=1)
    listed = fields.numbers("moe_layers")
    chosen = set(range(step - 1, sizes.layers, step) if listed is None else listed)
    sparse = tuple(number for number in everywhere if number in chosen)
    experts = Experts("feed_forward", width=_FULL_WIDTH, router="router", router_linear=True)
    experts.add(parts, fields, sizes, family.blocks, sparse)
    Mlp("feed_forward.shared_expert").add(parts, fields, sizes, family.blocks, sparse)
    dense = sorted(set(everywhere) - chosen)
    wide = fields.whole("intermediate_size_mlp")
    Mlp("feed_forward").add(parts, fields, sizes, family.blocks, dense, wide)


_LEADING = Experts(router="router.gate", router_linear=True, shared="shared_experts", dense="leading")

MIXTURES: dict[str, Family] = {
    "mixtral": _MIXTRAL,
    "qwen2_moe": Family(
        attention=Attention(bias="qkv_bias"),
        experts=Experts(shared="shared_expert", shared_gate=True, dense="step"),
    ),
    "qwen3_moe": Family(attention=replace(_ALL_BIASED, norm="head"), experts=Experts(dense="step")),
    "olmoe": Family(attention=replace(_ALL_BIASED, norm="full"), experts=Experts(width=_FULL_WIDTH)),
    "phimoe": Family(
        attention=_ALL_BIASED,
        experts=Experts(width=_FULL_WIDTH, router="router", router_linear=True),
        norm_bias=True,
        head_bias="lm_head_bias",
    ),
    "gpt_oss": Family(
        attention=replace(_ALL_BIASED),
        experts=Experts(width=_FULL_WIDTH, router="router", bias=True),
        more=sinks,
    ),
    "granitemoe": _GRANITE,
    "granitemoe_swa": replace(_GRANITE, more=_granite_with_sinks),
    "granitemoeshared": replace(_GRANITE, more=granite_shared),
    "glm4_moe": _GLM_MOE,
    "glm4_moe_lite": replace(_DEEPSEEK, experts=Experts(shared="shared_experts", dense="first", first=1)),
    "deepseek_v2": replace(
        _DEEPSEEK,
        mlp=Mlp(bias="mlp_bias"),
        experts=Experts(shared="shared_experts", shared_bias="mlp_bias", dense="first"),
    ),
    "deepseek_v3": _DEEPSEEK,
    "youtu": replace(_DEEPSEEK, experts=None),
    "minicpm3": replace(_DEEPSEEK, experts=None, mlp=Mlp(bias="mlp_bias")),
    "dots1": Family(
        attention=replace(_ALL_BIASED, norm="head"), experts=Experts(shared="shared_experts", dense="first")
    ),
    "hunyuan_v1_moe": Family(
        attention=replace(_ALL_BIASED, norm="head"),
        experts=Experts(width=_FULL_WIDTH, router="gate.wg", router_linear=True),
        more=_hunyuan,
    ),
    "llama4_text": Family(attention=_ALL_BIASED, build=_llama4),
    "exaone_moe": Family(
        attention=Attention(norm="head"), experts=Experts(shared="shared_experts", dense="first")
    ),
    "solar_open": Family(
        attention=Attention(bias="attention_bias"), experts=Experts(shared="shared_experts", dense="first")
    ),
    "afmoe": Family(
        attention=replace(_ALL_BIASED, norm="head"),
        experts=_LEADING,
        norms=4,
        more=_afmoe,
    ),
    "ernie4_5_moe": Family(
        attention=Attention(bias="use_bias", out_bias="use_bias"),
        mlp=Mlp(bias="use_bias"),
        experts=Experts(
            number=("moe_num_experts",), shared="shared_experts", shared_bias="use_bias", dense="start"
        ),
        head_bias="use_bias",
        more=_ernie,
    ),
}
