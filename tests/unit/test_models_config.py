"""config.json: what shapes follow from it, what is its class's own, and what is missing or impossible."""

from __future__ import annotations

from typing import Any

import pytest

from core.base.errors import UserError
from core.models import spec_of_config
from core.models.fields import LARGEST, Fields

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
GPT_OSS: dict[str, Any] = {
    "model_type": "gpt_oss",
    "hidden_size": 2880,
    "num_hidden_layers": 24,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 2880,
    "vocab_size": 201088,
    "num_local_experts": 32,
    "num_experts_per_tok": 4,
}


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


def test_gemma_3_takes_its_own_defaults() -> None:
    """The published 4B config names no heads and no vocabulary: the class has them."""
    text = {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
    }
    vision = {
        "hidden_size": 1152,
        "image_size": 896,
        "intermediate_size": 4304,
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "patch_size": 14,
        "vision_use_head": False,
    }
    spec = spec_of_config({"model_type": "gemma3", "text_config": text, "vision_config": vision})
    assert (spec.parameters, spec.vision_parameters, spec.exact) == (4_300_079_472, 419_816_304, True)
    assert spec.linears[0].path == "model.language_model.layers.{}.self_attn.q_proj"


def test_the_text_part_alone_is_enough() -> None:
    """A config without its `text_config` and towers is that of the text model."""
    flat = spec_of_config({**LLAMA, "model_type": "gemma3", "head_dim": 256})
    text = spec_of_config({**LLAMA, "model_type": "gemma3_text", "head_dim": 256})
    assert flat.exact and (flat.parameters, flat.linears) == (text.parameters, text.linears)


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


def test_another_type_without_usual_fields_needs_its_weights() -> None:
    with pytest.raises(
        UserError, match=r"no num_attention_heads, .* type mamba is not known here: give a folder"
    ):
        spec_of_config({"model_type": "mamba", "hidden_size": 768, "vocab_size": 50280})


PUBLISHED: dict[str, tuple[int, str, dict[str, Any]]] = {
    "facebook/opt-350m": (
        331_196_416,
        "opt",
        {"hidden_size": 1024, "ffn_dim": 4096, "word_embed_proj_dim": 512, "do_layer_norm_before": False},
    ),
    "bigscience/bloom-560m": (559_214_592, "bloom", {"n_embed": 1024, "n_layer": 24, "vocab_size": 250_880}),
    "EleutherAI/gpt-j-6b": (
        6_050_882_784,
        "gptj",
        {"n_embd": 4096, "num_hidden_layers": 28, "vocab_size": 50_400},
    ),
    "EleutherAI/gpt-neo-1.3B": (1_315_575_808, "gpt_neo", {"hidden_size": 2048, "vocab_size": 50_257}),
    "Salesforce/codegen-350M-mono": (
        356_712_448,
        "codegen",
        {"n_embd": 1024, "num_hidden_layers": 20, "vocab_size": 51_200},
    ),
    "tiiuae/falcon-7b": (
        6_921_720_704,
        "falcon",
        {"hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71, "vocab_size": 65_024},
    ),
    "microsoft/bitnet-b1.58-2B-4T": (
        2_412_820_480,
        "bitnet",
        {
            "hidden_size": 2560,
            "num_hidden_layers": 30,
            "num_attention_heads": 20,
            "intermediate_size": 6912,
            "vocab_size": 128_256,
            "tie_word_embeddings": True,
        },
    ),
    "state-spaces/mamba2-2.7b": (
        2_702_599_680,
        "mamba2",
        {
            "hidden_size": 2560,
            "num_hidden_layers": 64,
            "num_heads": 80,
            "n_groups": 1,
            "vocab_size": 50_288,
            "tie_word_embeddings": True,
        },
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_other_architectures_have_their_published_counts(name: str) -> None:
    """By the names that their own configs use; what these leave out is the class's own."""
    published, kind, fields = PUBLISHED[name]
    usual = {"num_hidden_layers": 24, "num_attention_heads": 16, "vocab_size": 50_272}
    spec = spec_of_config({**usual, **fields, "model_type": kind})
    assert (spec.parameters, spec.exact) == (published, True)


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


def test_fields_fall_back_to_the_class() -> None:
    fields = Fields({"n": None, "c": [8, 8]}, "config.json", {"a": 3, "n": 4})
    assert (fields.whole("a"), fields.whole("b", "c"), fields.flag("d"), fields.words("c")) == (
        3,
        8,
        False,
        ["8", "8"],
    )
    # a null is said, so the class works it out
    assert fields.whole("n", default=5) == 5


@pytest.mark.parametrize(
    "kind, left_out, value",
    [
        ("mistral", "num_key_value_heads", 8),
        ("seed_oss", "head_dim", 128),
        ("glm4", "attention_bias", True),
        ("smollm3", "tie_word_embeddings", True),
        ("gpt_oss", "head_dim", 64),
    ],
)
def test_what_a_config_leaves_out_is_its_own_classes(kind: str, left_out: str, value: object) -> None:
    config = {**GPT_OSS, "model_type": kind, "num_attention_heads": 32, "hidden_size": 4096}
    bare = {key: field for key, field in config.items() if key != left_out}
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


def test_a_mixture_of_an_unknown_type_is_no_dense_model() -> None:
    spec = spec_of_config({**GPT_OSS, "model_type": "mixture_of_tomorrow", "head_dim": 64})
    assert not spec.exact and spec.experts == 32
    assert spec.parameters == pytest.approx(20_914_757_184, rel=0.01)


def test_layers_with_sizes_of_their_own_are_no_exact_count() -> None:
    assert not spec_of_config({**LLAMA, "per_layer_config": {"3": {"intermediate_size": 64}}}).exact
