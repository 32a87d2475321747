"""The parts a decoder is built of: attention, MLP, experts, norms; each adds its shapes to a sum."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from core.models.fields import MOST_LAYERS, Fields
from core.models.spec import Linear, LinearKind


@dataclass
class Parts:
    """A model in the making: its linear layers, and a count of all other parameters.

    `idle` are the parameters that one token does not use: the experts that it is not sent to.
    """

    linears: list[Linear] = field(default_factory=list)
    other: int = 0
    idle: int = 0

    def linear(
        self,
        path: str,
        inputs: int,
        outputs: int,
        layers: Iterable[int] = (),
        kind: LinearKind = "other",
        bias: bool = False,
        fused: bool = False,
        each: int = 1,
    ) -> None:
        """`each` matrices in every one of `layers` (none: one matrix outside the layers)."""
        numbers = tuple(layers)
        count = (len(numbers) if "{}" in path else 1) * each
        if count:
            name = path.rpartition(".")[2]
            self.linears.append(Linear(name, inputs, outputs, count, kind, fused, path, numbers))
            self.other += outputs * count if bias else 0

    def extra(self, size: int, times: int = 1) -> None:
        """Parameters that are no linear layer: a norm, an embedding, a convolution."""
        self.other += size * times

    @property
    def total(self) -> int:
        return self.other + sum(linear.parameters for linear in self.linears)


_WIDTHS = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


def _listed(fields: Fields) -> int | None:
    """The number of layers, where a config lists their kinds instead."""
    pattern = fields.get("hybrid_override_pattern")
    kinds = fields.words("layers_block_type") or fields.words("layer_types")
    return len(pattern if isinstance(pattern, str) else kinds) or None


@dataclass(frozen=True)
class Sizes:
    """The numbers that nearly every family has."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int

    @classmethod
    def of(cls, fields: Fields, inner: int = 0) -> Sizes:
        """Read from a config; without a width of the MLP it is `inner` times the hidden one."""
        hidden = fields.whole("hidden_size", "n_embd", "d_model", "n_embed")
        heads = fields.whole("num_attention_heads", "n_head", "n_heads", "num_heads")
        if heads > hidden:
            raise fields.impossible("num_attention_heads", heads)
        kv_heads = fields.whole("num_key_value_heads", "num_kv_heads", default=heads)
        if heads % kv_heads:
            raise fields.impossible("num_key_value_heads", kv_heads)
        return cls(
            hidden=hidden,
            layers=fields.whole(*_LAYERS, default=_listed(fields), most=MOST_LAYERS),
            heads=heads,
            kv_heads=kv_heads,
            head_dim=fields.whole("head_dim", default=hidden // heads),
            intermediate=fields.whole(
                *_WIDTHS, default=inner * hidden or fields.get("moe_intermediate_size")
            ),
            vocab=fields.whole("vocab_size"),
        )

    @property
    def query(self) -> int:
        return self.heads * self.head_dim

    @property
    def key(self) -> int:
        return self.kv_heads * self.head_dim


# a yes or no, or the config's field that says it
Flag = bool | str
Norm = Literal["", "head", "full"]


@dataclass(frozen=True)
class Attention:
    """Query, key and value, apart or `fused` in one matrix; normed by head or over the full width."""

    path: str = "self_attn"
    names: tuple[str, str, str] = ("q_proj", "k_proj", "v_proj")
    out: str = "o_proj"
    fused: str = ""
    bias: Flag = False
    out_bias: Flag = False
    norm: Norm = ""
    norm_if: Flag = True
    # the way out takes the hidden width, whatever a head's is
    square: bool = False

    def add(self, parts: Parts, fields: Fields, sizes: Sizes, blocks: str, layers: Iterable[int]) -> None:
        numbers = tuple(layers)
        at, bias = f"{blocks}.{{}}.{self.path}", fields.flag(self.bias)
        widths = (sizes.query, sizes.key, sizes.key)
        if self.fused:
            parts.linear(f"{at}.{self.fused}", sizes.hidden, sum(widths), numbers, "attention", bias)
        else:
            for name, width in zip(self.names, widths):
                parts.linear(f"{at}.{name}", sizes.hidden, width, numbers, "attention", bias)
        out_bias = fields.flag(self.out_bias)
        inner = sizes.hidden if self.square else sizes.query
        parts.linear(f"{at}.{self.out}", inner, sizes.hidden, numbers, "attention", out_bias)
        if self.norm and fields.flag(self.norm_if):
            size = 2 * sizes.head_dim if self.norm == "head" else sizes.query + sizes.key
            parts.extra(size, len(numbers))


def sinks(parts: Parts, fields: Fields, sizes: Sizes) -> None:
    """One learnt sink for each head (gpt-oss model card, section 2.3)."""
    parts.extra(sizes.heads, sizes.layers)


@dataclass(frozen=True)
class LatentAttention:
    """DeepSeek's multi-head latent attention: keys and values through one narrow matrix (MLA)."""

    def add(self, parts: Parts, fields: Fields, sizes: Sizes, blocks: str, layers: Iterable[int]) -> None:
        numbers = tuple(layers)
        at, bias = f"{blocks}.{{}}.self_attn", fields.flag("attention_bias")
        plain, turned = fields.whole("qk_nope_head_dim", least=0), fields.whole("qk_rope_head_dim")
        value, narrow = fields.whole("v_head_dim"), fields.whole("kv_lora_rank")
        width = sizes.heads * (plain + turned)
        query_rank = fields.get("q_lora_rank")
        if query_rank is None:
            parts.linear(f"{at}.q_proj", sizes.hidden, width, numbers, "attention")
        else:
            rank = fields.whole("q_lora_rank")
            parts.linear(f"{at}.q_a_proj", sizes.hidden, rank, numbers, "attention", bias)
            parts.linear(f"{at}.q_b_proj", rank, width, numbers, "attention")
            parts.extra(rank, len(numbers))
        parts.linear(f"{at}.kv_a_proj_with_mqa", sizes.hidden, narrow + turned, numbers, "attention", bias)
        parts.linear(f"{at}.kv_b_proj", narrow, sizes.heads * (plain + value), numbers, "attention")
        parts.extra(narrow, len(numbers))
        parts.linear(f"{at}.o_proj", sizes.heads * value, sizes.hidden, numbers, "attention", bias)


@dataclass(frozen=True)
class Mlp:
    """The dense part of a block. `into` are the matrices to the wide side, each with its multiple of it."""

    path: str = "mlp"
    into: tuple[tuple[str, int], ...] = (("gate_proj", 1), ("up_proj", 1))
    down: str = "down_proj"
    bias: Flag = False

    def add(
        self,
        parts: Parts,
        fields: Fields,
        sizes: Sizes,
        blocks: str,
        layers: Iterable[int],
        width: int | None = None,
        kind: LinearKind = "mlp",
    ) -> None:
        numbers = tuple(layers)
        wide, bias = width or sizes.intermediate, fields.flag(self.bias)
        at = f"{blocks}.{{}}.{self.path}" if self.path else f"{blocks}.{{}}"
        for name, times in self.into:
            parts.linear(f"{at}.{name}", sizes.hidden, wide * times, numbers, kind, bias)
        parts.linear(f"{at}.{self.down}", wide, sizes.hidden, numbers, kind, bias)


FUSED_GATE = (("gate_up_proj", 2),)
