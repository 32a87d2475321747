"""Families with state spaces (Mamba 2): alone, or with attention beside them or in other layers."""

from __future__ import annotations

from core.base.errors import UserError
from core.models.experts import Experts
from core.models.families import Family
from core.models.fields import Fields
from core.models.hybrids import FULL, layers_with_attention, others
from core.models.mixtures import granite_shared
from core.models.shapes import Attention, Mlp, Parts, Sizes

_BIASED = Attention(bias="attention_bias", out_bias="attention_bias")
_IN_BOTH = ("mamba_proj_bias", "mamba_proj_bias")


def _mamba(
    parts: Parts,
    fields: Fields,
    sizes: Sizes,
    at: str,
    layers: tuple[int, ...],
    wide: int,
    bias: tuple[str, str] = ("use_bias", "use_bias"),
) -> None:
    """Mamba 2: one matrix in, one out, a short convolution (Dao and Gu 2024, section 7).

    `bias`: the fields that say whether the way in and the way out have one.
    """
    heads = fields.whole("mamba_num_heads", "mamba_n_heads", "num_heads")
    groups = fields.whole("n_groups", "mamba_n_groups")
    mixed = wide + 2 * groups * fields.whole("ssm_state_size", "mamba_d_state", "state_size")
    into, out = (fields.flag(name) for name in bias)
    parts.linear(f"{at}.in_proj", sizes.hidden, wide + mixed + heads, layers, "attention", into)
    parts.linear(f"{at}.out_proj", wide, sizes.hidden, layers, "attention", out)
    biased = fields.flag("use_conv_bias", "mamba_conv_bias")
    kernel = fields.whole("conv_kernel", "mamba_d_conv") + biased
    parts.extra(mixed * kernel + 3 * heads, len(layers))


def _granite_hybrid(parts: Parts, fields: Fields, sizes: Sizes, family: Family) -> None:
    """Mamba in most layers, attention in a few; experts if there are any, and a shared MLP."""
    full = layers_with_attention(fields, sizes.layers, ())
    rest = others(sizes.layers, full)
    family.attention.add(parts, fields, sizes, family.blocks, full)
    wide = fields.whole("mamba_expand") * sizes.hidden
    _mamba(parts, fields, sizes, f"{family.blocks}.{{}}.mamba", rest, wide, _IN_BOTH)
    parts.extra(wide, len(rest))
    everywhere = tuple(range(sizes.layers))
    if family.experts and fields.whole("num_local_experts", default=0, least=0):
        family.experts.add(parts, fields, sizes, family.blocks, everywhere)
    granite_shared(parts, fields, sizes)


def _falcon_h1(parts: Parts, fields: Fields, sizes: Sizes, family: Family) -> None:
    """Attention and Mamba side by side in every layer."""
    everywhere = tuple(range(sizes.layers))
    family.attention.add(parts, fields, sizes, family.blocks, everywhere)
    wide = fields.whole("mamba_d_ssm", default=fields.whole("mamba_expand") * sizes.hidden)
    _mamba(
        parts,
        fields,
        sizes,
        f"{family.blocks}.{{}}.mamba",
        everywhere,
        wide,
        ("mamba_proj_bias", "projectors_bias"),
    )
    parts.extra(wide if fields.flag("mamba_rms_norm") else 0, sizes.layers)
    family.mlp.add(parts, fields, sizes, family.blocks, everywhere)


def _bamba(parts: Parts, fields: Fields, sizes: Sizes, family: Family) -> None:
    """Attention in the layers that are listed, Mamba in the others."""
    listed = set(fields.numbers("attn_layer_indices") or ())
    full = tuple(number for number in range(sizes.layers) if number in listed)
    rest = others(sizes.layers, full)
    family.attention.add(parts, fields, sizes, family.blocks, full)
    wide = fields.whole("mamba_expand") * sizes.hidden
    _mamba(parts, fields, sizes, f"{family.blocks}.{{}}.mamba", rest, wide, _IN_BOTH)
    parts.extra(wide, len(rest))
    family.add_mlp(parts, fields, sizes)


def _mamba2(parts: Parts, fields: Fields, sizes: Sizes, family: Family) -> None:
    wide = fields.whole("expand") * sizes.hidden
    _mamba(parts, fields, sizes, f"{family.blocks}.{{}}.mixer", tuple(range(sizes.layers)), wide)
    parts.extra(wide, sizes.layers)


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
        "attention": ("*", *FULL),
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
    bias = fields.flag("mlp_bias")
    parts.linear(f"{at}.shared_experts.up_proj", sizes.hidden, shared, layers, "mlp", bias)
    parts.linear(f"{at}.shared_experts.down_proj", shared, sizes.hidden, layers, "mlp", bias)
    if narrow != sizes.hidden:
        parts.linear(f"{at}.fc1_latent_proj", sizes.hidden, narrow, layers, bias=bias)
        parts.linear(f"{at}.fc2_latent_proj", narrow, sizes.hidden, layers, bias=bias)


STATES: dict[str, Family] = {
    "granitemoehybrid": Family(
        attention=_BIASED,
        experts=Experts("block_sparse_moe", width=("intermediate_size",), router="router"),
        build=_granite_hybrid,
    ),
    "bamba": Family(attention=_BIASED, mlp=Mlp("feed_forward", bias="mlp_bias"), build=_bamba),
    "mamba2": Family(
        blocks="backbone.layers", embedding="backbone.embeddings", norms=1, inner=2, build=_mamba2
    ),
    "nemotron_h": Family(
        attention=Attention("mixer"),
        mlp=Mlp("mixer", into=(("up_proj", 1),), bias="mlp_bias"),
        embedding="model.embeddings",
        norms=1,
        build=_nemotron_h,
    ),
    "falcon_h1": Family(attention=_BIASED, mlp=Mlp("feed_forward", bias="mlp_bias"), build=_falcon_h1),
}
