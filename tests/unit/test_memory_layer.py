"""What a layer keeps for the backward pass: the estimate beside what autograd really saves."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from core.fit.activations import layer_cost, widths
from core.models import spec_of_config
from core.models.catalogue import catalogue_model
from tests.trainings import training

SIZES = {
    "vocab_size": 64,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
}
TOKENS = 256
RANK = 4


def config(model_type: str) -> Any:
    from transformers import AutoConfig

    made = AutoConfig.for_model(model_type, **SIZES)
    if getattr(made, "layer_types", None):
        made.layer_types = ["full_attention"] * 2
    return made


def saved_bytes(settings: Any, layers: int, half: bool, targets: Any) -> int:
    """Bytes that autograd keeps of one forward pass, weights aside."""
    import torch
    from peft import LoraConfig, get_peft_model
    from torch.autograd.graph import saved_tensors_hooks
    from transformers import AutoModelForCausalLM

    settings = copy.deepcopy(settings)
    settings.num_hidden_layers = layers
    if getattr(settings, "layer_types", None):
        settings.layer_types = settings.layer_types[:layers]
    dtype = torch.bfloat16 if half else torch.float32
    base = AutoModelForCausalLM.from_config(settings, dtype=dtype)
    model = get_peft_model(base, LoraConfig(r=RANK, target_modules=targets, task_type="CAUSAL_LM")).train()
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    found: dict[int, Any] = {}

    def pack(tensor: Any) -> Any:
        if tensor.untyped_storage().data_ptr() not in weights:
            found[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16, half):
        model(input_ids=torch.ones((1, TOKENS), dtype=torch.int64), use_cache=False, logits_to_keep=1)
    return sum(tensor.untyped_storage().nbytes() for tensor in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gemma2", "olmo2"])
@pytest.mark.parametrize(
    ("half", "targets"), [(True, "all-linear"), (False, "all-linear"), (True, ["q_proj"])]
)
def test_a_layer_keeps_what_autograd_saves(model_type: str, half: bool, targets: Any) -> None:
    """The second layer's bytes a token, within 2 %: the rest is the adapter's own weights in 16 bits."""
    settings = config(model_type)
    # its own choice for Gemma 2 is SDPA, which leaves out the cap; the engine takes the eager one
    settings._attn_implementation = "eager" if model_type == "gemma2" else None
    measured = saved_bytes(settings, 2, half, targets) - saved_bytes(settings, 1, half, targets)
    spec = spec_of_config({**json.loads(settings.to_json_string(use_diff=False)), "architectures": ["Any"]})
    precision = "bf16" if half else "fp32"
    cost = layer_cost(training(spec, engine="peft", precision=precision, rank=RANK, target_modules=targets))
    # the eager attention in float32 also keeps keys and values for every head
    near = 0.05 if cost.square and not half else 0.02
    assert cost.kept + cost.square * TOKENS == pytest.approx(measured / TOKENS, rel=near)


def llama(**changes: Any) -> Any:
    return spec_of_config({"model_type": "llama", "architectures": ["LlamaForCausalLM"], **SIZES, **changes})


def test_widths_of_grouped_queries_and_a_gated_mlp() -> None:
    wide = widths(llama())
    assert (wide.hidden, wide.query, wide.key, wide.up, wide.down) == (256, 256, 128, 1408, 704)
    assert wide.gated
    assert not wide.fused_qkv


def test_experts_count_as_far_as_a_token_is_sent_to_them() -> None:
    spec = spec_of_config(catalogue_model("Qwen/Qwen3-30B-A3B-Instruct-2507").config)
    assert widths(spec).down == 8 * 768


# bytes for a pair of tokens in each of four heads, as autograd saves them
@pytest.mark.parametrize(
    ("model_type", "changes", "each"),
    [
        ("llama", {}, 0),
        ("llama", {"engine": "unsloth"}, 0),
        ("llama", {"attention": "eager"}, 4 + 2),
        ("llama", {"attention": "eager", "precision": "fp32"}, 4),
        ("gemma2", {}, 4 + 2 + 2),
        ("gemma2", {"precision": "fp32"}, 4 + 4),
        ("gemma2", {"attention": "flash_attention_2"}, 0),
        ("gemma2", {"engine": "unsloth"}, 2 + 2),
        ("mpt", {}, 4 + 2),
        ("gemma3n_text", {}, 0),
        ("gemma3n_text", {"engine": "unsloth"}, 4 + 2),
        ("gpt_oss", {}, 4 + 2),
        ("gpt_oss", {"engine": "unsloth"}, 0),
    ],
)
def test_who_makes_the_matrix_of_all_pairs(model_type: str, changes: Any, each: int) -> None:
    spec = replace(llama(), model_type=model_type)
    assert layer_cost(training(spec, **{"engine": "peft", **changes})).square == 4 * each


@pytest.mark.parametrize("engine", ["peft", "unsloth"])
def test_dropout_keeps_a_mask(engine: str) -> None:
    plain = layer_cost(training(llama(), engine=engine)).kept
    dropped = layer_cost(training(llama(), engine=engine, dropout=0.1)).kept
    inputs = 6 * 256 + 704
    assert dropped - plain == inputs


def test_what_is_no_plain_lora_has_the_plain_engines_layers() -> None:
    own, plain = (training(llama(), method="dora", engine=engine) for engine in ("unsloth", "peft"))
    assert layer_cost(own) == layer_cost(plain)


def test_only_some_types_have_unsloths_mlp_in_one_kernel() -> None:
    fused = layer_cost(training(llama())).kept
    left = layer_cost(training(replace(llama(), model_type="smollm3"))).kept
    assert left - fused == 2 * 2 * 704
