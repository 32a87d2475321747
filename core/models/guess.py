"""What a type that is not in the table probably looks like: its fields tell experts and narrow attention."""

from __future__ import annotations

from core.models.experts import Experts
from core.models.families import Family
from core.models.fields import Fields
from core.models.shapes import Attention, LatentAttention, Mlp

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_WIDTHS = ("moe_intermediate_size", "expert_ffn_hidden_size", "intermediate_size")
_SHARED = ("n_shared_experts", "num_shared_experts", "shared_expert_intermediate_size")


def guessed_family(fields: Fields) -> Family:
    """Something like Llama, with the experts and the attention that the fields name."""
    bias = "attention_bias"
    latent = fields.get("kv_lora_rank") and fields.get("qk_rope_head_dim") and fields.get("v_head_dim")
    shared = "shared_experts" if fields.get(*_SHARED) else ""
    experts = Experts(number=EXPERTS, width=_WIDTHS, shared=shared, dense="first")
    return Family(
        attention=LatentAttention() if latent else Attention(bias=bias, out_bias=bias),
        mlp=Mlp(bias="mlp_bias"),
        experts=experts if fields.whole(*EXPERTS, default=1, least=0) > 1 else None,
    )
