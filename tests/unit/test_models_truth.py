"""Parameter counts, layer names and LoRA counts are those of Transformers' models and of PEFT."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import UserError
from core.base.home import Home
from core.models import ModelSpec, Uncounted, find_spec, lora_parameters, spec_of_config
from core.models.catalogue import catalogue_model
from core.models.dense import TABLE
from core.models.spec import spec_from_json

ROOT = Path(__file__).resolve().parents[2]
SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TARGETS: list[dict[str, Any]] = [
    {"target_modules": SEVEN, "rank": 16},
    {"target_modules": ["q_proj", "v_proj", "lm_head"], "rank": 4},
    {"target_modules": "all-linear", "rank": 8},
]
SMALL = {
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 160,
    "vocab_size": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 48}
CASES: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": True},
    "qwen2": {},
    "qwen3": {"head_dim": 32},
    "gemma2": {"head_dim": 32},
    "phi": {"num_key_value_heads": 6},
    "phi3": {},
    "olmo2": {},
    "cohere2": {},
    "glm4": {"head_dim": 16, "attention_bias": True},
    "starcoder2": {},
    "stablelm": {"use_qkv_bias": True},
    "falcon": {"new_decoder_architecture": True, "num_kv_heads": 2, "intermediate_size": 4 * 96},
    "gpt_neox": {},
    "gpt_bigcode": {"intermediate_size": 4 * 96},
    "opt": {"ffn_dim": 160, "do_layer_norm_before": False, "enable_bias": False},
    "seed_oss": {},
    "llama4_text": {
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "interleave_moe_layer_step": 2,
        "intermediate_size_mlp": 80,
        "head_dim": 16,
    },
    "glm4_moe_lite": {**EXPERTS, "n_routed_experts": 4, "num_key_value_heads": 6},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen3_moe": {"num_experts": 4, "head_dim": 32, "mlp_only_layers": [0], **EXPERTS},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 16},
    "deepseek_v3": {
        **EXPERTS,
        "n_routed_experts": 4,
        "n_group": 2,
        "topk_group": 1,
        "num_key_value_heads": 6,
        "first_k_dense_replace": 1,
        "q_lora_rank": 24,
        "kv_lora_rank": 16,
        "qk_nope_head_dim": 16,
        "qk_rope_head_dim": 8,
        "v_head_dim": 16,
    },
    "qwen3_5_text": {"layer_types": ["linear_attention", "full_attention"]},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "afmoe": {"num_experts": 4, "num_shared_experts": 1, "head_dim": 16, **EXPERTS},
    "gemma4_text": {"num_kv_shared_layers": 1, "use_double_wide_mlp": True, "head_dim": 32},
}
SHIPPED = ("Qwen/Qwen3.5-0.8B", "google/gemma-3-4b-it", "google/gemma-4-E2B-it", "openai/gpt-oss-20b")
VISION = {
    "model_type": "siglip_vision_model",
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 14,
    "vision_use_head": False,
}
# Gemma 4 12B sees and hears without towers
UNIFIED = {
    "model_type": "gemma4_unified",
    "text_config": {**SMALL, "model_type": "gemma4_unified_text", "head_dim": 32, "attention_k_eq_v": True},
    "vision_config": {"model_type": "gemma4_unified_vision", "mm_embed_dim": 48, "output_proj_dims": 48},
    "audio_config": {"model_type": "gemma4_unified_audio", "audio_embed_dim": 40},
}


def configs() -> list[dict[str, Any]]:
    plain = [{**SMALL, **more, "model_type": kind} for kind, more in CASES.items()]
    text = {**SMALL, "model_type": "gemma3_text", "head_dim": 32}
    seeing = {"model_type": "gemma3", "text_config": text, "vision_config": VISION}
    return [*plain, seeing, UNIFIED]


def bare_dense() -> list[dict[str, Any]]:
    """Every type of the formula, with no field but those that every config has.

    Ministral's class can't do without the width of a head.
    """
    return [{**SMALL, "num_key_value_heads": 6, "model_type": kind} for kind in TABLE if kind != "ministral"]


@pytest.fixture(scope="module")
def truths() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What Transformers and PEFT make of the configs, from one process, since they take long to load."""
    cases = [{"config": config, "targets": TARGETS} for config in configs()]
    cases += [{"config": config, "targets": []} for config in bare_dense()]
    cases += [{"config": catalogue_model(name).config, "targets": []} for name in SHIPPED]
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.model_truth"],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    return [(case["config"], answer) for case, answer in zip(cases, answers, strict=True)]


@pytest.mark.slow
def test_counts_are_those_of_transformers_and_peft(truths: list[tuple[dict[str, Any], Any]]) -> None:
    wrong = {}
    for config, truth in truths:
        spec = replace(spec_from_json(truth["shapes"]), model_type=config["model_type"])
        loaded = spec.parameters - (0 if spec.vision else spec.vision_parameters)
        trainable = [_count(spec, target) for target in TARGETS][: len(truth["trainable"])]
        if (loaded, trainable) != (truth["parameters"], truth["trainable"]):
            wrong[config["model_type"]] = (loaded, trainable, truth["parameters"], truth["trainable"])
    assert not wrong


@pytest.mark.slow
def test_the_formula_and_the_catalogue_say_what_transformers_says(
    truths: list[tuple[dict[str, Any], Any]],
) -> None:
    wrong = {}
    for config, truth in truths:
        counted = spec_from_json(truth["shapes"])
        with suppress(Uncounted):
            spec = spec_of_config(config)
            same = {"architecture": "", "model_type": "", "context": None, "activation": ""}
            if _in_order(replace(spec, **same)) != _in_order(counted):
                wrong[f"{config['model_type']} {len(config)}"] = (spec, counted)
    assert not wrong


def _in_order(spec: ModelSpec) -> ModelSpec:
    return replace(spec, linears=tuple(sorted(spec.linears, key=lambda linear: linear.path)))


def _count(spec: ModelSpec, target: dict[str, Any]) -> int | str:
    try:
        return lora_parameters(spec, **target)
    except UserError:
        return "refused"


@pytest.mark.slow
def test_another_type_is_counted_once(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**SMALL, **CASES["lfm2"], "model_type": "lfm2"}))
    with pytest.raises(Uncounted, match="lfm2 models are counted by Transformers, once"):
        find_spec(home, str(file))
    sentences: list[str] = []
    spec = find_spec(home, str(file), sentences.append)
    assert spec.exact and len(sentences) == 1
    # what was counted is kept, and read without a word
    assert find_spec(home, str(file), sentences.append) == find_spec(home, str(file)) == spec
    assert len(sentences) == 1


@pytest.mark.slow
def test_a_model_that_can_not_be_built_gets_a_sentence(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**SMALL, "model_type": "lfm2", "num_attention_heads": "many"}))
    for say in (print, None):
        with pytest.raises(UserError, match=r"config\.json: Transformers can't build a model from"):
            find_spec(home, str(file), say)


@pytest.mark.slow
@pytest.mark.parametrize("limits", ["LIMIT_S = 1.0", "_LIMIT_BYTES = 1 << 20"])
def test_a_model_beyond_measure_ends_its_worker(limits: str, tmp_path: Path) -> None:
    """Too long, or too much memory: the process goes, and its job says why."""
    code = (
        "import sys, time; from core.models import shapes_worker as worker;"
        f"worker.{limits}; big = [];"
        "worker.shapes_of = lambda config: (big.append(b'x' * (64 << 20)), time.sleep(60));"
        "sys.argv = ['', sys.argv[1]]; worker.main()"
    )
    (tmp_path / "config.json").write_text("{}")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, timeout=120)
    state = json.loads((tmp_path / "state.json").read_text())
    assert (done.returncode, state["status"], state["error"]) == (2, "failed", "UserError")
    assert "too large to be counted" in state["message"]
