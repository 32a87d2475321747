"""config.json: what shapes follow from it, what is its class's own, and what is missing or impossible."""

from __future__ import annotations

from typing import Any

import pytest

from core.base.errors import UserError
from core.models import Uncounted, spec_of_config
from core.models.catalogue import catalogue_model
from core.models.config import LARGEST

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
GPT_OSS = catalogue_model("openai/gpt-oss-20b").config


def test_llama_has_its_published_counts() -> None:
    spec = spec_of_config(LLAMA, "Llama-3.1-8B")
    assert (spec.parameters, spec.active, spec.exact) == (8_030_261_248, 8_030_261_248, True)
    assert (spec.kv_heads, spec.head_dim, spec.context, spec.stored) == (8, 128, 131072, "bf16")
    assert {linear.name: (linear.inputs, linear.outputs, linear.count) for linear in spec.linears} == {
        "q_proj": (4096, 4096, 32),
        "k_proj": (4096, 1024, 32),
        "v_proj": (4096, 1024, 32),
        "o_proj": (4096, 4096, 32),
        "gate_proj": (4096, 14336, 32),
        "up_proj": (4096, 14336, 32),
        "down_proj": (14336, 4096, 32),
    }
    # embedding, head, two norms a layer and the last one
    assert spec.other_parameters == 2 * 128256 * 4096 + 65 * 4096


def test_tied_weights_count_once() -> None:
    spec = spec_of_config({**LLAMA, "tie_word_embeddings": True})
    assert spec.parameters == 8_030_261_248 - spec.embedding


def test_a_mixture_uses_a_part_of_itself() -> None:
    spec = spec_of_config(GPT_OSS)
    # as its model card has it: 20.9B in all, 3.6B at work
    assert (spec.parameters, spec.experts) == (20_914_757_184, 32)
    assert 3.5e9 < spec.active < 4.2e9
    assert all(linear.fused for linear in spec.linears if linear.kind == "expert")


def test_a_config_of_the_catalogue_is_known_whatever_else_it_says() -> None:
    gemma = catalogue_model("google/gemma-3-4b-it").config
    spec = spec_of_config({**gemma, "eos_token_id": [1, 106], "max_position_embeddings": 99})
    assert (spec.parameters, spec.vision_parameters, spec.exact) == (4_300_079_472, 419_816_304, True)
    assert spec.linears[0].path == "model.language_model.layers.{}.self_attn.q_proj"
    with pytest.raises(Uncounted, match="gemma3 models are counted by Transformers"):
        spec_of_config({**gemma, "text_config": {**gemma["text_config"], "hidden_size": 2568}})


@pytest.mark.parametrize("missing", ["hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size"])
def test_a_missing_field_is_named_with_its_file(missing: str) -> None:
    config = {key: value for key, value in LLAMA.items() if key != missing}
    with pytest.raises(UserError, match=rf"models/x/config\.json has no {missing}"):
        spec_of_config(config, where="models/x/config.json")


@pytest.mark.parametrize("value", [0, -1, True, "4096", 4096.5, [1, 2], LARGEST + 1, 10**30])
def test_an_impossible_number_is_named(value: object) -> None:
    with pytest.raises(UserError, match="impossible hidden_size"):
        spec_of_config({**LLAMA, "hidden_size": value})


def test_layers_beyond_any_model_are_refused_at_once() -> None:
    with pytest.raises(UserError, match="impossible num_hidden_layers"):
        spec_of_config({**LLAMA, "num_hidden_layers": 200_000_000})


def test_a_class_tells_the_type_where_no_other_field_does() -> None:
    config = {key: value for key, value in LLAMA.items() if key != "model_type"}
    assert spec_of_config(config).exact
    assert not spec_of_config({**config, "architectures": None}).exact


@pytest.mark.parametrize("more", [{"num_experts": 8}, {"hidden_size": None}])
def test_another_type_without_usual_fields_needs_its_weights(more: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="type nobody_knows is not known here: give a folder"):
        spec_of_config({**LLAMA, "model_type": "nobody_knows", **more})


def test_another_type_is_taken_for_a_llama_and_says_so() -> None:
    spec = spec_of_config({**LLAMA, "model_type": "nobody_knows"})
    assert (spec.exact, spec.model_type, spec.parameters) == (False, "nobody_knows", 8_030_261_248)


@pytest.mark.parametrize(
    "quantization, stored",
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "nf4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8"),
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
    ],
)
def test_quantized_configs_say_what_they_store(quantization: dict[str, Any], stored: str) -> None:
    assert spec_of_config({**LLAMA, "quantization_config": quantization}).stored == stored


@pytest.mark.parametrize(
    "kind, left_out, value",
    [
        ("mistral", "num_key_value_heads", 8),
        ("seed_oss", "head_dim", 128),
        ("glm4", "attention_bias", True),
        ("smollm3", "tie_word_embeddings", True),
    ],
)
def test_what_a_config_leaves_out_is_its_own_classes(kind: str, left_out: str, value: object) -> None:
    bare = {key: field for key, field in LLAMA.items() if key != left_out} | {"model_type": kind}
    assert spec_of_config(bare).parameters == spec_of_config({**bare, left_out: value}).parameters


@pytest.mark.parametrize(
    "field, value",
    [
        ("tie_word_embeddings", "false"),
        ("attention_bias", []),
        ("num_key_value_heads", 7),
        ("num_key_value_heads", 64),
        ("num_attention_heads", 9999),
    ],
)
def test_what_no_model_can_be_built_from_is_named(field: str, value: object) -> None:
    with pytest.raises(UserError, match=f"impossible {field}"):
        spec_of_config({**LLAMA, field: value})


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"per_layer_config": {"3": {"intermediate_size": 64}}}, "llama models are counted by Transformers"),
        ({"model_type": "falcon_h1"}, "falcon_h1 models are counted by Transformers"),
    ],
)
def test_what_the_formula_does_not_know_is_counted(more: dict[str, Any], words: str) -> None:
    with pytest.raises(Uncounted, match=words):
        spec_of_config({**LLAMA, **more})
