"""A mixture of experts in place of a dense MLP, in some layers or in all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.models.fields import Fields
from core.models.shapes import Flag, Mlp, Parts, Sizes


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
    shared_bias: Flag = False
    shared_gate: bool = False
    # how many layers are dense where a config doesn't say
    first: int = 0
    dense: Literal["none", "first", "leading", "step", "start"] = "none"

    def sparse_layers(self, fields: Fields, layers: int) -> tuple[int, ...]:
        """The layers that have experts."""
        listed = fields.words("mlp_layer_types")
        if self.dense == "first":
            if len(listed) == layers:
                return tuple(number for number in range(layers) if listed[number] == "sparse")
            return tuple(
                range(min(layers, fields.whole("first_k_dense_replace", default=self.first, least=0)), layers)
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
        used = min(
            number, fields.whole("num_experts_per_tok", "moe_k", "top_k_experts", "moe_topk", default=2)
        )
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
            Mlp(f"{self.path}.{self.shared}", bias=self.shared_bias).add(
                parts, fields, sizes, blocks, layers, wide
            )
        if self.shared_gate:
            parts.linear(f"{blocks}.{{}}.{self.path}.shared_expert_gate", sizes.hidden, 1, layers)
