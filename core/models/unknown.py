"""A model of a type that is not in the table: its shapes from the headers of its weights."""

from __future__ import annotations

from typing import Any

from core.base.errors import UserError
from core.models.config import architecture_of, context_of, spec_of_config, stored_as
from core.models.fields import Fields
from core.models.guess import EXPERTS
from core.models.headers import UNPACKED, Stored, linears_of
from core.models.spec import Linear, ModelSpec

# the width of a head in most models, where a config tells none
_USUAL_HEAD = 128
_EMBEDDINGS = tuple(
    f"{name}.weight" for name in ("embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings")
)


def spec_of_headers(config: dict[str, Any], stored: Stored, name: str, where: str) -> ModelSpec:
    """Counted from the headers, so the sum is right; what each matrix is for is guessed from its name."""
    linears = linears_of(stored.shapes) if stored.kind in UNPACKED else ()
    if not linears:
        # packed weights don't show their shapes
        return spec_of_config(config, name, where)
    fields = Fields(config, where)
    if isinstance(config.get("text_config"), dict):
        fields = fields.part("text_config")
    experts = fields.whole(*EXPERTS, default=0, least=0)
    return ModelSpec(
        **_sizes(fields, stored, linears, where),
        name=name,
        architecture=architecture_of(config),
        model_type=str(config.get("model_type", "")),
        tied=not any(tensor.endswith("lm_head.weight") for tensor in stored.shapes),
        linears=linears,
        parameters=stored.parameters,
        active=_active(stored, linears, fields, experts),
        context=context_of(fields),
        experts=experts,
        exact=False,
        stored=stored_as(config),
    )


def _sizes(fields: Fields, stored: Stored, linears: tuple[Linear, ...], where: str) -> dict[str, Any]:
    """The widths: from the tensors' shapes where they show them, else from common fields."""
    vocab, hidden = _embedding(stored, where)
    heads = fields.whole("num_attention_heads", "n_head", "n_heads", default=max(1, hidden // _USUAL_HEAD))
    layers = 1 + max(max(linear.layers, default=0) for linear in linears)
    return {
        "hidden": hidden,
        "vocab": vocab,
        "layers": fields.whole("num_hidden_layers", "n_layer", "n_layers", default=layers),
        "heads": heads,
        "kv_heads": fields.whole("num_key_value_heads", "num_kv_heads", default=heads),
        "head_dim": fields.whole("head_dim", default=max(1, hidden // heads)),
        "intermediate": fields.whole("intermediate_size", "n_inner", "ffn_dim", default=_widest(linears)),
    }


def _embedding(stored: Stored, where: str) -> tuple[int, int]:
    for name, shape in stored.shapes.items():
        if name.endswith(_EMBEDDINGS) and len(shape) == 2:
            return shape[0], shape[1]
    raise UserError(f"{where} is of an unknown type, and the weights have no embedding to count from.")


def _widest(linears: tuple[Linear, ...]) -> int:
    wide = (max(linear.outputs, linear.inputs) for linear in linears if linear.kind != "attention")
    return max(wide, default=1)


def _active(stored: Stored, linears: tuple[Linear, ...], fields: Fields, experts: int) -> int:
    """Without the experts that a token is not sent to."""
    if not experts:
        return stored.parameters
    used = min(experts, fields.whole("num_experts_per_tok", "top_k_experts", "moe_k", default=experts))
    all_experts = sum(linear.parameters for linear in linears if linear.kind == "expert")
    return stored.parameters - all_experts * (experts - used) // experts
