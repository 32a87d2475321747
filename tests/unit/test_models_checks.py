"""config.json: what is no data is refused before any library sees it, and every other one gives shapes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.models import Uncounted, check_config, spec_of_config
from tests.unit.test_models_config import LLAMA


@pytest.mark.parametrize(
    "config, words",
    [
        ({"model_type": "llama\nimport os"}, "line break"),
        ({"model_type": "__import__('os')"}, "impossible model type"),
        ({"model_type": 7}, "impossible model type"),
        ({"architectures": ["A", "os.system('x')"]}, "impossible model type"),
        ({"architectures": "A;B"}, "impossible model type"),
        ({"rope_scaling": {"type": "a\x1b[31m"}}, "rope_scaling.type"),
        ({"rope_scaling": {"a\nb": 1}}, "below rope_scaling"),
        ({"_name_or_path": "x" * 2000}, "2000 characters in _name_or_path"),
        ({"x": "a\u2028b"}, "control character in x"),
        ({"trust_remote_code": True}, "run Python code"),
        ({"model_type": "own_type", "auto_map": {"AutoModel": "modeling.Own"}}, "run Python code"),
        ({"text_config": {"model_type": "a b"}}, "impossible model type"),
        ({"parts": [{"inner": {"architectures": ["a b"]}}]}, "impossible model type"),
        ({"model_type": "../llama"}, "impossible model type"),
        ({"_name_or_path": "a\ud800"}, "control character in _name_or_path"),
        ({"_name_or_path": "a\u202eb"}, "control character in _name_or_path"),
        ({"_attn_implementation": "owner/kernel"}, "a program from the hub"),
        ({"text_config": {"experts_implementation": "owner/kernel:x"}}, "a program from the hub"),
        ({"transformers_weights": "other.safetensors"}, "weights to be read from 'other"),
    ],
)
def test_what_is_no_data_is_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_config({**LLAMA, **config}, "config.json")


def test_code_beside_a_built_in_type_is_left_alone() -> None:
    """Phi-3 and others still name the files they were first published with; they are never run."""
    config = {**LLAMA, "model_type": "phi3", "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"}}
    assert spec_of_config(config).exact


def test_a_deep_config_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"a": deep}
    with pytest.raises(UserError, match="too large or too deep"):
        check_config({**LLAMA, "deep": deep}, "config.json")


@pytest.mark.parametrize("config", [None, [], "x", 3])
def test_no_object_is_no_config(config: object) -> None:
    with pytest.raises(UserError, match="holds no JSON object"):
        spec_of_config(config)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=5,
)
_MORE = "head_dim text_config vision_config layer_types num_experts auto_map mlp_only_layers full_attn_idxs"
_MORE += (
    " per_layer_config num_kv_shared_layers block_ffn_dim_multiplier quantization_config dtype mamba_n_heads"
)
_FIELDS = st.sampled_from([*LLAMA, *_MORE.split()])
_KINDS = "llama gemma2 gemma3_text qwen3 phi3 phi gpt_neox starcoder2 glm4 seed_oss gemma4 lfm2 x"


@settings(max_examples=40)
@given(
    kind=st.sampled_from(_KINDS.split()),
    damage=st.dictionaries(_FIELDS, _JSON, max_size=4),
)
def test_any_config_gives_a_spec_or_a_sentence(kind: str, damage: dict[str, Any]) -> None:
    try:
        spec = spec_of_config({**LLAMA, "model_type": kind, **damage})
    except Uncounted as error:
        assert "counted by Transformers" in str(error)
    except UserError as error:
        assert "config.json" in str(error)
    else:
        assert spec.parameters >= spec.linear_parameters + spec.embedding > 0
