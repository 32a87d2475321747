"""Published measurements as questions to the estimate: which are judged, their config and workload."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.fit.training import Foreign
from core.machine import GIB, Gpu
from core.models import ModelSpec, spec_of_config
from core.models.dense import is_dense
from core.models.spec import spec_from_json
from core.recipe import Recipe, parse_recipe

_DATA = Path(__file__).resolve().parent.parent / "data"

# runs that no term of ours can describe, each with the reason
_LENGTH = "the source gives no length"
_FUSED_STEP = "the optimizer's step is fused into the backward pass: gradients are never all there"
_OFFLOADED = "DeepSpeed ZeRO-3 keeps weights and optimizer in the host's memory"
_NO_STATES = (
    "less than weights, gradients and Adam's two states in 16 bits: the optimizer is not what it says"
)
APART = {
    13: _FUSED_STEP,
    14: "torch.compile fuses operations, so less is kept for the backward pass",
    15: _FUSED_STEP,
    16: _FUSED_STEP,
    19: _LENGTH,
    20: _LENGTH,
    21: _LENGTH,
    41: _NO_STATES,
    46: "four GPUs share weights and optimizer",
    55: "the source gives no shapes",
    56: "experts' gradients and adapters of a model that was unpacked on the way, in parts on the host",
    57: "an archived configuration with embeddings, norms and all checkpoints in 32 bits",
    58: "experts are quantized in a way of Axolotl's own",
    69: _OFFLOADED,
    70: _LENGTH,
    71: _LENGTH,
    72: _OFFLOADED,
}
# what the sources say of loss and adapter, which our engines do otherwise: a loss in pieces (also where
# Unsloth was older than its own), adapters in 16 bits, dropout; and the usual preparation for 4 bits
# (peft.prepare_model_for_kbit_training), which makes embeddings and norms float32
_PIECES = {"axolotl": True, "torchtune": True}
_WHOLE_LOSS = "unfused"
_SIXTEEN_BIT_ADAPTER = ("torchtune",)
_DROPOUT = {"axolotl": 0.05}
# the ways of checkpointing that an engine of ours has
_OURS = {("unsloth", "unsloth"), ("unsloth", "hf"), ("peft", "hf")}


def load_cases() -> list[dict[str, Any]]:
    return json.loads((_DATA / "vram_cases.json").read_text("utf-8"))


def load_holdout() -> list[dict[str, Any]]:
    """Published runs that no constant was chosen by: what they change of the case that they are `like`.

    Where they name no source of their own, they stand in that case's table.
    """
    known = {case["number"]: case for case in load_cases()}
    rows = json.loads((_DATA / "vram_holdout.json").read_text("utf-8"))
    return [{**known[row["like"]], **row, "number": number} for number, row in enumerate(rows)]


def is_judged(case: dict[str, Any]) -> bool:
    """A known length, and nothing that the estimate can't know."""
    return case["seq_len_is_cap"] is False and case["number"] not in APART


def spec_of(case: dict[str, Any]) -> ModelSpec:
    """By the formula; of other types what core.models.shapes_worker counts (tests/data/vram_shapes.json)."""
    config = config_of(case)
    if is_dense(config):
        return spec_of_config(config, case["model"])
    counted = json.loads((_DATA / "vram_shapes.json").read_text("utf-8"))[case["model"]]
    return replace(spec_from_json(counted), name=case["model"], model_type=case["model_type"])


def config_of(case: dict[str, Any]) -> dict[str, Any]:
    """A bare config.json with the shapes that are published."""
    config: dict[str, Any] = {
        "model_type": case["model_type"],
        "architectures": ["ForCausalLM"],
        "hidden_size": case["hidden"],
        "num_hidden_layers": case["layers"],
        "num_attention_heads": case["heads"],
        "num_key_value_heads": case["kv_heads"],
        "head_dim": case["head_dim"],
        "intermediate_size": case["intermediate"],
        "vocab_size": case["vocab"],
        "tie_word_embeddings": case["tied_embeddings"],
    }
    if case["model_type"] == "falcon":
        # its class works out the width of a head by itself
        del config["head_dim"]
        config |= {"multi_query": True, "new_decoder_architecture": False}
    if case["model_type"] == "gpt_oss":
        config |= {"num_local_experts": 128 if "120b" in case["model"] else 32, "num_experts_per_tok": 4}
    return config


def recipe_of(case: dict[str, Any]) -> Recipe:
    """The published settings, as far as a recipe has them."""
    framework, checkpointing = case["framework"], case["grad_ckpt"]
    engine = "unsloth" if framework == "unsloth" else "peft"
    virtual_tokens = _virtual_tokens(case)
    return parse_recipe(
        {
            "method": case["method"],
            "method_settings": {"virtual_tokens": virtual_tokens} if virtual_tokens else {},
            "double_quantization": framework != "litgpt" or "nf4-dq" in case["notes"],
            "rank": case.get("rank") or 16,
            "target_modules": _targets(case),
            "max_length": case["seq_len"],
            "micro_batch": case.get("batch") or 1,
            "checkpointing": checkpointing if (engine, checkpointing) in _OURS else "none",
            "engine": engine,
            "dropout": _DROPOUT.get(framework, 0.0),
        }
    )


def foreign_of(case: dict[str, Any]) -> Foreign:
    """What the source says of loss and formats, and of what a recipe has no name for."""
    framework = case["framework"]
    return Foreign(
        optimizer=(case.get("optimizer") or "adamw_torch").split(" ")[0].replace("adamw8bit", "adamw_8bit"),
        checkpointing=case["grad_ckpt"],
        adapter_bits=16 if framework in _SIXTEEN_BIT_ADAPTER else 32,
        rest_bits=32 if framework == "hf" and case["method"] == "qlora" else None,
        pieces=False if _has_whole_loss(case) else _PIECES.get(framework),
    )


def _virtual_tokens(case: dict[str, Any]) -> int | None:
    """Those of a prompt are what is trained; a prefix has them in its name; None leaves the usual number."""
    named = re.search(r"tokens(\d+)", case["notes"])
    trained = re.search(r"trainable (\d+)", case["notes"])
    if case["method"] == "prompt" and trained:
        return int(trained[1]) // case["hidden"]
    soft = case["method"] in ("prompt", "prefix", "p_tuning")
    return int(named[1]) if named and soft else None


def _has_whole_loss(case: dict[str, Any]) -> bool:
    """Whether the source says so, or Unsloth was older than its loss in pieces (Gemma 3's came later)."""
    version = re.search(r"Unsloth (None|[\d.]+)", case["notes"])
    if case["framework"] != "unsloth" or not version:
        return _WHOLE_LOSS in case["notes"]
    first = (2025, 10) if case["model_type"].startswith("gemma3") else (2024, 11)
    return version[1] == "None" or tuple(int(part) for part in version[1].split(".")[:2]) < first


def _targets(case: dict[str, Any]) -> str | list[str]:
    """As published, in short names; what a family doesn't have is left out."""
    targets = re.sub(r"\s*\(.*?\)", "", case.get("targets") or "all-linear")
    whole = targets in ("all", "all-linear") or "shared_mlp" in targets or "embed" in targets
    return "all-linear" if whole else [part.strip() for part in targets.split(",") if part.strip()]


def card_of(case: dict[str, Any]) -> Gpu:
    """The card that is named (without one a card of 80 GiB)."""
    size = round((card_gib(case) or 80) * GIB)
    return Gpu(case.get("gpu", ""), size, size, _capability(case), "")


def _capability(case: dict[str, Any]) -> tuple[int, int]:
    name = case.get("gpu", "")
    return (7, 5) if "T4" in name else (8, 9) if re.search("4090|L4", name) else (8, 0)


def card_gib(case: dict[str, Any]) -> float | None:
    name = case.get("gpu", "")
    known = {"T4": 15, "4090": 24, "L4": 22.5}
    found = re.search(r"(\d+) ?GB", name)
    if found:
        return float(found[1])
    return next((gib for part, gib in known.items() if part in name), None)
