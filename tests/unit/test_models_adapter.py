"""LoRA's trainable parameters: published counts, targets as people write them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.base.errors import UserError
from core.models import Linear, lora_parameters, lora_targets, spec_of_config
from core.models.catalogue import catalogue_model
from tests.unit.test_models_config import GPT_OSS, LLAMA

SPEC = spec_of_config(LLAMA, "Llama-3.1-8B")
SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# rank × (hidden + vocabulary)
HEAD = 16 * (4096 + 128256)


def test_published_counts() -> None:
    """As PEFT's print_trainable_parameters shows them for Llama 3.1 8B and Llama 2 7B."""
    assert lora_parameters(SPEC, 16) == 41_943_040
    llama_2 = spec_of_config(
        {**LLAMA, "num_key_value_heads": 32, "intermediate_size": 11008, "vocab_size": 32000}
    )
    assert lora_parameters(llama_2, 8, ["q_proj", "v_proj"]) == 4_194_304


@pytest.mark.parametrize(
    "targets, expected",
    [
        ("all-linear", 41_943_040),
        (("all-linear",), 41_943_040),
        ("All-Linear", 41_943_040),
        ("all", 41_943_040),
        (SEVEN, 41_943_040),
        ("q,k,v,o,gate,up,down", 41_943_040),
        ("q,k,v,o,gate,up,down (FastModel default)", 41_943_040),
        ("q,k,v,o,gate,up,down,head", 41_943_040 + HEAD),
        ([*SEVEN, "lm_head", "embed_tokens"], 41_943_040 + 2 * HEAD),
        ("q_proj, v_proj", 6_815_744),
        ("v,q", 6_815_744),
        (["self_attn.q_proj", "v_proj"], 6_815_744),
        (["model.layers.0.self_attn.q_proj", "v_proj"], 32 * 16 * (4096 + 1024) + 16 * 8192),
    ],
)
def test_targets_as_people_write_them(targets: str | list[str], expected: int) -> None:
    assert lora_parameters(SPEC, 16, targets) == expected


def test_fused_matrices_need_their_own_names() -> None:
    phi = spec_of_config({**LLAMA, "model_type": "phi3"}, "phi")
    assert lora_parameters(phi, 16, "q,k,v") == 32 * 16 * (4096 + 6144)
    with pytest.raises(UserError, match=r"phi has no layers named q_proj\. It has qkv_proj, o_proj"):
        lora_parameters(phi, 16, ["q_proj"])


def test_experts_in_one_parameter_are_found_only_where_peft_converts_them() -> None:
    """PEFT turns all-linear into the experts for Qwen 3 and its like, and not for gpt-oss."""
    assert {target.linear.name for target in lora_targets(spec_of_config(GPT_OSS))} == {
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
    }
    qwen = spec_of_config(catalogue_model("Qwen/Qwen3-30B-A3B-Instruct-2507").config)
    both = {target.linear.name: target.times for target in lora_targets(qwen) if target.linear.fused}
    assert both == {"gate": 1, "gate_up_proj": 2, "down_proj": 1}
    with pytest.raises(UserError, match="gate_proj and up_proj"):
        lora_parameters(qwen, 16, ["q_proj", "gate_proj"])


def test_the_way_out_of_mamba_gets_no_adapter() -> None:
    mamba = (Linear("in_proj", 64, 256, 4), Linear("out_proj", 128, 64, 4))
    hybrid = replace(SPEC, model_type="falcon_h1", linears=(*SPEC.linears, *mamba))
    names = {target.linear.name for target in lora_targets(hybrid)}
    assert "in_proj" in names and "out_proj" not in names
