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


_WIDTHS = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "moe_intermediate_size")
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
        hidden = fields.whole("hidden_size", "n_embd", "d_model")
        heads = fields.whole("num_attention_heads", "n_head", "n_heads", "num_heads")
        return cls(
            hidden=hidden,
            layers=fields.whole(*_LAYERS, default=_listed(fields), most=MOST_LAYERS),
            heads=heads,
            kv_heads=fields.whole("num_key_value_heads", "num_kv_heads", default=heads),
            head_dim=fields.whole("head_dim", default=max(1, hidden // heads)),
            intermediate=fields.whole(*_WIDTHS, default=inner * hidden or None),
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
        parts.linear(f"{at}.{self.out}", sizes.query, sizes.hidden, numbers, "attention", out_bias)
        if self.norm and fields.flag(self.norm_if):
            size = 2 * sizes.head_dim if self.norm == "head" else sizes.query + sizes.key
            parts.extra(size, len(numbers))


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


@dataclass(frozen=True)
class Experts:
    """A mixture of experts: one fused parameter for all of them, a router, maybe a shared MLP.

    `dense` decides which layers have no experts: the first ones (`first_k_dense_replace`), or a step.
    """

    path: str = "mlp"
    number: tuple[str, ...] = ("num_experts", "num_local_experts", "n_routed_experts")
    width: tuple[str, ...] = ("moe_intermediate_size",)
    router: str = "gate"
    router_linear: bool = False
    bias: bool = False
    shared: str = ""
    shared_gate: bool = False
    dense: Literal["none", "first", "leading", "step", "start"] = "none"

    def sparse_layers(self, fields: Fields, layers: int) -> tuple[int, ...]:
        """The layers that have experts."""
        listed = fields.words("mlp_layer_types")
        if self.dense == "first":
            if len(listed) == layers:
                return tuple(number for number in range(layers) if listed[number] == "sparse")
            return tuple(
                range(min(layers, fields.whole("first_k_dense_replace", default=0, least=0)), layers)
            )
        if self.dense == "leading":
            return tuple(range(min(layers, fields.whole("num_dense_layers", default=0, least=0)), layers))
        if self.dense == "start":
            start = fields.whole("moe_layer_start_index", default=0, least=0)
            end = fields.whole("moe_layer_end_index", default=layers - 1, least=-1)
            step = fields.whole("moe_layer_interval", default=1)
            last = layers - 1 if end == -1 else end
            return tuple(n for n in range(layers) if (n + 1) % step == 0 and start <= n <= last)
        if self.dense == "step":
            step = fields.whole("decoder_sparse_step", default=1)
            dense = set(fields.numbers("mlp_only_layers") or ())
            return tuple(n for n in range(layers) if n not in dense and (n + 1) % step == 0)
        return tuple(range(layers))

    def add(self, parts: Parts, fields: Fields, sizes: Sizes, blocks: str, layers: tuple[int, ...]) -> None:
        number = fields.whole(*self.number, most=4096)
        used = min(number, fields.whole("num_experts_per_tok", "moe_k", "top_k_experts", default=2))
        width = fields.whole(*self.width)
        at = f"{blocks}.{{}}.{self.path}".removesuffix(".")
        router = not self.router_linear
        parts.linear(f"{at}.{self.router}", sizes.hidden, number, layers, "other", self.bias, router)
        before = parts.total
        for name, inputs, outputs in (
            ("gate_up_proj", sizes.hidden, 2 * width),
            ("down_proj", width, sizes.hidden),
        ):
            path = f"{at}.experts.{name}"
            parts.linear(path, inputs, outputs, layers, "expert", self.bias, True, number)
        parts.idle += (parts.total - before) * (number - used) // number
        self._add_shared(parts, fields, sizes, blocks, layers, width)

    def _add_shared(
        self, parts: Parts, fields: Fields, sizes: Sizes, blocks: str, layers: tuple[int, ...], width: int
    ) -> None:
        if not self.shared:
            return
        times = fields.whole(
            "n_shared_experts", "num_shared_experts", "moe_num_shared_experts", default=1, least=0
        )
        wide = fields.whole("shared_expert_intermediate_size", default=width * times, least=0)
        if wide:
            Mlp(f"{self.path}.{self.shared}").add(parts, fields, sizes, blocks, layers, wide)
        if self.shared_gate:
            parts.linear(f"{blocks}.{{}}.{self.path}.shared_expert_gate", sizes.hidden, 1, layers)
