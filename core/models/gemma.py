"""Gemma 3n and 4: keys shared between layers, embeddings for every layer, experts beside the MLP."""

from __future__ import annotations

from dataclasses import replace

from core.models.experts import Experts
from core.models.families import Family
from core.models.fields import Fields
from core.models.shapes import Parts, Sizes


def _global_layers(fields: Fields, layers: int, every: int) -> tuple[int, ...]:
    kinds = fields.words("layer_types")
    if len(kinds) == layers:
        return tuple(n for n in range(layers) if kinds[n] == "full_attention" or n == layers - 1)
    return tuple(n for n in range(layers) if (n + 1) % every == 0 or n == layers - 1)


def _attention(
    parts: Parts,
    fields: Fields,
    sizes: Sizes,
    blocks: str,
    layers: tuple[int, ...],
    own_keys: int,
    value: bool,
) -> None:
    """`own_keys`: the number of the first layer that uses another's keys and values."""
    at, bias = f"{blocks}.{{}}.self_attn", fields.flag("attention_bias")
    first = tuple(number for number in layers if number < own_keys)
    parts.linear(f"{at}.q_proj", sizes.hidden, sizes.query, layers, "attention", bias)
    parts.linear(f"{at}.k_proj", sizes.hidden, sizes.key, first, "attention", bias)
    parts.linear(f"{at}.v_proj", sizes.hidden, sizes.key, first if value else (), "attention", bias)
    parts.linear(f"{at}.o_proj", sizes.query, sizes.hidden, layers, "attention", bias)
    parts.extra(sizes.head_dim, len(layers) + len(first))


def _layer_embeddings(parts: Parts, fields: Fields, sizes: Sizes, blocks: str) -> None:
    """A second embedding, a small one for each layer, and how it is mixed in (Gemma 3n, "PLE")."""
    width = fields.whole("hidden_size_per_layer_input", default=0, least=0)
    if not width:
        return
    everywhere = range(sizes.layers)
    top = blocks.removesuffix(".layers")
    vocabulary = fields.whole("vocab_size_per_layer_input")
    parts.extra(vocabulary * sizes.layers * width + width)
    parts.extra(sizes.hidden, sizes.layers)
    parts.linear(f"{top}.per_layer_model_projection", sizes.hidden, sizes.layers * width)
    parts.linear(f"{blocks}.{{}}.per_layer_input_gate", sizes.hidden, width, everywhere)
    parts.linear(f"{blocks}.{{}}.per_layer_projection", width, sizes.hidden, everywhere)


def _wide(fields: Fields, sizes: Sizes, full: tuple[int, ...], same: bool) -> Sizes:
    """The layers with full attention have wider heads, and fewer keys where keys are values too.

    Transformers 5 writes that as `per_layer_config`, the published files as `global_head_dim`.
    """
    own = fields.part("per_layer_config").part(str(full[-1]))
    heads = fields.whole("num_global_key_value_heads", default=sizes.kv_heads) if same else sizes.kv_heads
    return replace(
        sizes,
        head_dim=own.whole("head_dim", default=fields.whole("global_head_dim", default=512)),
        kv_heads=own.whole("num_key_value_heads", default=heads),
    )


def _gemma4(parts: Parts, fields: Fields, sizes: Sizes, family: Family) -> None:
    full = _global_layers(fields, sizes.layers, 6)
    sliding = tuple(sorted(set(range(sizes.layers)) - set(full)))
    shared = fields.whole("num_kv_shared_layers", default=0, least=0, most=sizes.layers - 1)
    own_keys = sizes.layers - shared
    same = fields.flag("attention_k_eq_v")
    wide = _wide(fields, sizes, full, same)
    _attention(parts, fields, sizes, family.blocks, sliding, own_keys, True)
    _attention(parts, fields, wide, family.blocks, full, own_keys, not same)
    doubled = bool(shared) and fields.flag("use_double_wide_mlp")
    usual = range(own_keys if doubled else sizes.layers)
    family.mlp.add(parts, fields, sizes, family.blocks, usual)
    family.mlp.add(
        parts, fields, sizes, family.blocks, range(len(usual), sizes.layers), 2 * sizes.intermediate
    )
    _layer_embeddings(parts, fields, sizes, family.blocks)
    if family.experts and fields.flag("enable_moe_block"):
        family.experts.add(parts, fields, sizes, family.blocks, tuple(range(sizes.layers)))
        # three more norms, a scale for the hidden width, one for every expert
        parts.extra(4 * sizes.hidden + fields.whole("num_experts"), sizes.layers)


def _gemma3n(parts: Parts, fields: Fields, sizes: Sizes, family: Family) -> None:
    everywhere = tuple(range(sizes.layers))
    own_keys = sizes.layers - fields.whole("num_kv_shared_layers", default=0, least=0, most=sizes.layers - 1)
    _attention(parts, fields, sizes, family.blocks, everywhere, own_keys, True)
    family.mlp.add(parts, fields, sizes, family.blocks, everywhere)
    _layer_embeddings(parts, fields, sizes, family.blocks)
    inputs, rank = fields.whole("altup_num_inputs", default=4), fields.whole("laurel_rank", default=64)
    at, top = f"{family.blocks}.{{}}", family.blocks.removesuffix(".layers")
    parts.linear(f"{at}.altup.correction_coefs", inputs, inputs, everywhere)
    parts.linear(f"{at}.altup.prediction_coefs", inputs, inputs * inputs, everywhere)
    parts.linear(f"{at}.altup.modality_router", sizes.hidden, inputs, everywhere)
    parts.linear(f"{at}.laurel.linear_left", sizes.hidden, rank, everywhere)
    parts.linear(f"{at}.laurel.linear_right", rank, sizes.hidden, everywhere)
    # altup's scale and router norm, laurel's norm
    parts.extra(3 * sizes.hidden, sizes.layers)
    for name in ("altup_projections", "altup_unembed_projections"):
        parts.linear(f"{top}.{name}.{{}}", sizes.hidden, sizes.hidden, range(inputs - 1))


_EXPERTS = Experts("", router="router.proj", router_linear=True)
GEMMAS: dict[str, Family] = {
    "gemma4_text": Family(norms=4, experts=_EXPERTS, build=_gemma4),
    "gemma4_unified_text": Family(norms=4, build=_gemma4),
    "gemma3n_text": Family(norms=4, build=_gemma3n),
}
