"""The streaming merge: bit for bit PEFT's, one tensor in memory, and a sentence for what it can't merge."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from core.base.errors import UserError  # noqa: E402
from core.base.home import APP_FOLDER  # noqa: E402
from core.export.merge import merge, read_adapter  # noqa: E402


def tiny_model(folder: Path, dtype: Any, shard_size: str = "5GB") -> Path:
    """A random two-layer Llama with grouped-query attention and an untied head."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=160,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    LlamaForCausalLM(config).to(dtype).save_pretrained(folder, max_shard_size=shard_size)
    return folder


def random_adapter(base: Path, folder: Path, dtype: Any, **settings: Any) -> Path:
    """A PEFT LoRA adapter for `base` with random A and B, saved by PEFT itself."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    config = LoraConfig(
        **{"r": 4, "lora_alpha": 6, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **settings}
    )
    peft_model = get_peft_model(model, config)
    for name, parameter in peft_model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    peft_model.save_pretrained(folder)
    return folder


def peft_merge(base: Path, adapter: Path, out: Path, dtype: Any) -> dict[str, Any]:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(out)
    return load_file(out / "model.safetensors")


CASES = {
    "fp32": (torch.float32, {}),
    "fp16": (torch.float16, {}),
    "bf16": (torch.bfloat16, {}),
    "sharded": (torch.float32, {"shard": "60KB"}),
    "rslora": (torch.float16, {"use_rslora": True}),
    "patterns": (
        torch.float32,
        {
            "rank_pattern": {"q_proj": 8, "layers.1.mlp.up_proj": 2},
            "alpha_pattern": {"v_proj": 1, "^model.*q_proj": 32},
        },
    ),
    "rslora patterns": (torch.bfloat16, {"use_rslora": True, "rank_pattern": {"down_proj": 16}}),
    "some modules": (torch.float32, {"target_modules": ["q_proj", "down_proj"]}),
}


@pytest.mark.parametrize("case", CASES)
def test_bit_identical_to_peft(case: str, tmp_path: Path) -> None:
    dtype, settings = CASES[case]
    settings = dict(settings)
    base = tiny_model(tmp_path / "base", dtype, settings.pop("shard", "5GB"))
    assert (case == "sharded") == (base / "model.safetensors.index.json").exists()
    adapter = random_adapter(base, tmp_path / "adapter", dtype, **settings)
    expected = peft_merge(base, adapter, tmp_path / "peft", dtype)
    merge(base, adapter, tmp_path / "ours")
    ours = load_file(tmp_path / "ours" / "model.safetensors")
    before = {name: tensor for file in base.glob("*.safetensors") for name, tensor in load_file(file).items()}
    assert ours.keys() == expected.keys() == before.keys()
    for name, weight in ours.items():
        assert weight.dtype == dtype and torch.equal(weight, expected[name]), name
    changed = [name for name in ours if not torch.equal(ours[name], before[name])]
    assert len(changed) == (4 if case == "some modules" else 14)
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["hidden_size"] == 64


def test_conv1d_layers_are_transposed(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    GPT2LMHeadModel(
        GPT2Config(vocab_size=99, n_embd=32, n_layer=1, n_head=2, n_positions=16)
    ).save_pretrained(tmp_path / "base")
    adapter = random_adapter(
        tmp_path / "base", tmp_path / "adapter", torch.float32, target_modules=["c_attn"], fan_in_fan_out=True
    )
    expected = peft_merge(tmp_path / "base", adapter, tmp_path / "peft", torch.float32)
    merge(tmp_path / "base", adapter, tmp_path / "ours")
    ours = load_file(tmp_path / "ours" / "model.safetensors")
    assert all(torch.equal(ours[name], weight) for name, weight in expected.items())


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"use_dora": True}, "uses DoRA"),
        ({"modules_to_save": ["lm_head"]}, "carries whole modules"),
        ({"bias": "lora_only"}, "also trains biases"),
        ({"init_lora_weights": "pissa"}, "changed its base model"),
        ({"peft_type": "IA3"}, "of the type IA3"),
    ],
)
def test_other_adapters_are_refused(settings: dict[str, Any], reason: str, tmp_path: Path) -> None:
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 4, **settings}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=reason):
        read_adapter(tmp_path)


def test_another_base_model_is_refused(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base", torch.float32)
    adapter = random_adapter(base, tmp_path / "adapter", torch.float32)
    from transformers import LlamaConfig, LlamaForCausalLM

    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=160, hidden_size=32, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4
        )
    ).save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match=r"does not fit.*\(14 such problems\)"):
        merge(tmp_path / "other", adapter, tmp_path / "out")


def test_a_cut_off_model_is_a_sentence(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base", torch.float32)
    adapter = random_adapter(base, tmp_path / "adapter", torch.float32)
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(UserError, match="damaged"):
        merge(base, adapter, tmp_path / "out")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_a_result_that_is_not_finite_is_refused(value: float, tmp_path: Path) -> None:
    """A broken adapter, or one whose sum does not fit into fp16."""
    base = tiny_model(tmp_path / "base", torch.float16)
    adapter = random_adapter(base, tmp_path / "adapter", torch.float16)
    weights = load_file(adapter / "adapter_model.safetensors")
    name = next(name for name in weights if "layers.1.self_attn.k_proj.lora_A" in name)
    weights[name] = weights[name].float()
    weights[name][0, 0] = value
    save_file(weights, adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match=r"layers\.1\.self_attn\.k_proj is not finite"):
        merge(base, adapter, tmp_path / "out")


MEASURE = """
import sys, threading, psutil
from pathlib import Path
from core.export.merge import merge
import torch
torch.set_num_threads(1)
torch.ones(1024, 8) @ torch.ones(8, 1024)
process, peak, over = psutil.Process(), [0], threading.Event()
def watch():
    while not over.wait(0.001):
        peak[0] = max(peak[0], process.memory_info().rss)
before = process.memory_info().rss
thread = threading.Thread(target=watch); thread.start()
merge(*map(Path, sys.argv[1:4]))
over.set(); thread.join()
print((peak[0] - before) / 2**20)
"""


def test_peak_memory_is_a_few_tensors(tmp_path: Path) -> None:
    """48 tensors of 4 MiB and one of 64 that has no adapter: the merge holds a few small ones at a time."""
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    base.mkdir()
    adapter.mkdir()
    names = [f"model.layers.{i}.mlp.up_proj" for i in range(48)]
    tensors = {f"{name}.weight": torch.zeros(1024, 1024) for name in names}
    tensors["model.embed_tokens.weight"] = torch.full((16384, 1024), 8.0)
    save_file(tensors, base / "model.safetensors")
    halves = {f"base_model.model.{name}.lora_A.weight": torch.ones(8, 1024) for name in names}
    halves |= {f"base_model.model.{name}.lora_B.weight": torch.ones(1024, 8) for name in names}
    save_file(halves, adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8, "lora_alpha": 8}))
    command = [sys.executable, "-c", MEASURE, str(base), str(adapter), str(tmp_path / "out")]
    result = subprocess.run(command, cwd=APP_FOLDER, capture_output=True, text=True, check=True)
    assert float(result.stdout) < 40
    merged = load_file(tmp_path / "out" / "model.safetensors")
    assert all(bool((weight == 8).all()) for weight in merged.values())
