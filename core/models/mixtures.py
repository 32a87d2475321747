"""Families with a mixture of experts. Transformers 5 keeps all experts of a layer in one parameter."""

from __future__ import annotations

from dataclasses import replace

from core.models.families import Family
from core.models.fields import Fields
from core.models.shapes import Attention, Experts, LatentAttention, Mlp, Parts, Sizes

_ALL_BIASED = Attention(bias="attention_bias", out_bias="attention_bias")
_FULL_WIDTH = ("intermediate_size",)
_MIXTRAL = Family(experts=Experts(width=_FULL_WIDTH))
_GLM_MOE = Family(
    attention=Attention(bias="attention_bias", norm="head", norm_if="use_qk_norm"),
    experts=Experts(shared="shared_experts", dense="first"),
)
_DEEPSEEK = Family(attention=LatentAttention(), experts=Experts(shared="shared_experts", dense="first"))


def _gpt_oss(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    # one learned sink for each head (gpt-oss model card, section 2.3)
    parts.extra(sizes.heads, sizes.layers)


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


_LEADING = Experts(router="router.gate", router_linear=True, shared="shared_experts", dense="leading")

MIXTURES: dict[str, Family] = {
    "mixtral": _MIXTRAL,
    "qwen2_moe": Family(
        attention=Attention(bias="qkv_bias"),
        experts=Experts(shared="shared_expert", shared_gate=True, dense="step"),
        defaults={"qkv_bias": True},
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
        defaults={"attention_bias": True, "head_dim": 64},
        more=_gpt_oss,
    ),
    "granitemoe": Family(
        attention=_ALL_BIASED,
        experts=Experts("block_sparse_moe", width=_FULL_WIDTH, router="router"),
    ),
    "glm4_moe": _GLM_MOE,
    "glm4_moe_lite": _DEEPSEEK,
    "deepseek_v2": _DEEPSEEK,
    "deepseek_v3": _DEEPSEEK,
    "youtu": replace(_DEEPSEEK, experts=None, tied=True),
    "minicpm3": replace(_DEEPSEEK, experts=None, tied=True),
    "exaone_moe": Family(
        attention=Attention(norm="head"), experts=Experts(shared="shared_experts", dense="first")
    ),
    "solar_open": Family(experts=Experts(shared="shared_experts", dense="first")),
    "afmoe": Family(
        attention=Attention(norm="head"),
        experts=_LEADING,
        norms=4,
        defaults={"head_dim": 128, "num_dense_layers": 1, "num_shared_experts": 2},
        more=_afmoe,
    ),
    "ernie4_5_moe": Family(
        attention=Attention(bias="use_bias", out_bias="use_bias"),
        mlp=Mlp(bias="use_bias"),
        experts=Experts(number=("moe_num_experts",), shared="shared_experts", dense="start"),
        tied=True,
        more=_ernie,
    ),
}
