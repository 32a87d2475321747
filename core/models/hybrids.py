"""Families whose layers differ from each other: linear attention, convolutions, state spaces, shared keys."""

from __future__ import annotations

from core.models.families import Family
from core.models.fields import Fields
from core.models.shapes import Attention, Experts, Parts, Sizes


def full_attention_layers(fields: Fields, layers: int) -> tuple[int, ...]:
    """The layers with ordinary attention: from `layer_types`, else every `full_attention_interval`-th."""
    kinds = fields.words("layer_types") or fields.words("layers_block_type")
    if len(kinds) == layers:
        return tuple(number for number in range(layers) if kinds[number] in ("full_attention", "attention"))
    interval = fields.whole("full_attention_interval", default=4)
    return tuple(number for number in range(layers) if (number + 1) % interval == 0)


def _others(layers: int, taken: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(range(layers)) - set(taken)))


def _qwen_hybrid(parts: Parts, fields: Fields, sizes: Sizes, family: Family) -> None:
    """Gated attention (twice the query) in some layers, a gated delta net in the others."""
    full = full_attention_layers(fields, sizes.layers)
    at, bias = f"{family.blocks}.{{}}.self_attn", fields.flag("attention_bias")
    for name, width in (("q_proj", 2 * sizes.query), ("k_proj", sizes.key), ("v_proj", sizes.key)):
        parts.linear(f"{at}.{name}", sizes.hidden, width, full, "attention", bias)
    parts.linear(f"{at}.o_proj", sizes.query, sizes.hidden, full, "attention", bias)
    parts.extra(2 * sizes.head_dim, len(full))
    _delta_net(parts, fields, sizes, f"{family.blocks}.{{}}.linear_attn", _others(sizes.layers, full))
    family.add_mlp(parts, fields, sizes)


def _delta_net(parts: Parts, fields: Fields, sizes: Sizes, at: str, layers: tuple[int, ...]) -> None:
    value_heads, value_dim = fields.whole("linear_num_value_heads"), fields.whole("linear_value_head_dim")
    key = fields.whole("linear_num_key_heads") * fields.whole("linear_key_head_dim")
    value = value_heads * value_dim
    inputs = {
        "in_proj_qkv": 2 * key + value,
        "in_proj_z": value,
        "in_proj_b": value_heads,
        "in_proj_a": value_heads,
    }
    if fields.flag("_joined"):
        inputs = {"in_proj_qkvz": 2 * key + 2 * value, "in_proj_ba": 2 * value_heads}
    for name, width in inputs.items():
        parts.linear(f"{at}.{name}", sizes.hidden, width, layers, "attention")
    parts.linear(f"{at}.out_proj", value, sizes.hidden, layers, "attention")
    kernel = fields.whole("linear_conv_kernel_dim", default=4)
    parts.extra((2 * key + value) * kernel + 2 * value_heads + value_dim, len(layers))


_DELTA = {
    "linear_num_value_heads": 32,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_key_head_dim": 128,
    "head_dim": 256,
}
_QWEN_EXPERTS = Experts(shared="shared_expert", shared_gate=True, dense="step")

HYBRIDS: dict[str, Family] = {
    "qwen3_5_text": Family(build=_qwen_hybrid, defaults=_DELTA),
    "qwen3_5_moe_text": Family(build=_qwen_hybrid, experts=_QWEN_EXPERTS, defaults=_DELTA),
    "qwen3_next": Family(build=_qwen_hybrid, experts=_QWEN_EXPERTS, defaults={**_DELTA, "_joined": True}),
}
