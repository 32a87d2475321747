"""The merge: bit for bit PEFT's for every method, one layer in memory, refusals in words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import peft  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from core.base.errors import UserError  # noqa: E402
from core.base.home import APP_FOLDER  # noqa: E402
from core.export.merge import merge  # noqa: E402


def tiny_model(folder: Path, dtype: Any, shard_size: str = "5GB") -> Path:
    """A random two-layer Llama with grouped-query attention, biases in its attention and an untied head."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=160,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attention_bias=True,
    )
    LlamaForCausalLM(config).to(dtype).save_pretrained(folder, max_shard_size=shard_size)
    return folder


def random_adapter(base: Path, folder: Path, dtype: Any, config: peft.PeftConfig | None = None) -> Path:
    """An adapter for `base` with random numbers in it, saved by PEFT itself."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    peft_model = peft.get_peft_model(model, config or peft.LoraConfig(r=4, lora_alpha=6, **ALL))
    for parameter in peft_model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, mean=0.1, std=0.2)
    peft_model.save_pretrained(folder)
    return folder


def peft_merge(base: Path, adapter: Path, out: Path, dtype: Any) -> dict[str, Any]:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    peft.PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(out)
    return load_file(out / "model.safetensors")


ALL: dict[str, Any] = {"target_modules": "all-linear", "task_type": "CAUSAL_LM"}
SOME: dict[str, Any] = {"target_modules": ["k_proj", "v_proj", "down_proj"], "task_type": "CAUSAL_LM"}
RANKS = {"q_proj": 8, "layers.1.mlp.up_proj": 2}
ALPHAS = {"v_proj": 1, "^model.*q_proj": 32}
METHODS: dict[str, peft.PeftConfig] = {
    "lora": peft.LoraConfig(r=4, lora_alpha=6, **ALL),
    "lora of some layers": peft.LoraConfig(r=4, layers_to_transform=[1], **SOME),
    "lora with biases": peft.LoraConfig(r=4, bias="lora_only", **SOME),
    "rslora": peft.LoraConfig(r=4, use_rslora=True, rank_pattern={"down_proj": 16}, **ALL),
    "dora": peft.LoraConfig(r=4, use_dora=True, **ALL),
    "patterns": peft.LoraConfig(r=4, rank_pattern=RANKS, alpha_pattern=ALPHAS, **ALL),
    "adalora": peft.AdaLoraConfig(init_r=6, target_r=4, total_step=10, **ALL),
    "ia3": peft.IA3Config(feedforward_modules=["down_proj"], **SOME),
    "loha": peft.LoHaConfig(r=4, alpha=6, **ALL),
    "lokr": peft.LoKrConfig(r=4, alpha=6, **ALL),
    "oft": peft.OFTConfig(r=0, oft_block_size=8, **SOME),
    "hra": peft.HRAConfig(r=4, **SOME),
    "fourierft": peft.FourierFTConfig(n_frequency=20, **SOME),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_bit_identical_to_peft(method: str, dtype: Any, tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base", dtype)
    adapter = random_adapter(base, tmp_path / "adapter", dtype, METHODS[method])
    expected = peft_merge(base, adapter, tmp_path / "peft", dtype)
    merge(base, adapter, tmp_path / "ours")
    check_equal(tmp_path / "ours", expected, load_file(base / "model.safetensors"))


@pytest.mark.parametrize("shard", ["60KB", "5GB"])
def test_shards_and_fp16(shard: str, tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base", torch.float16, shard)
    assert (shard == "60KB") == (base / "model.safetensors.index.json").exists()
    adapter = random_adapter(base, tmp_path / "adapter", torch.float16)
    expected = peft_merge(base, adapter, tmp_path / "peft", torch.float16)
    shares: list[float] = []
    merge(base, adapter, tmp_path / "ours", shares.append)
    before = {name: tensor for file in base.glob("*.safetensors") for name, tensor in load_file(file).items()}
    check_equal(tmp_path / "ours", expected, before)
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["hidden_size"] == 64


def check_equal(out: Path, expected: dict[str, Any], before: dict[str, Any]) -> None:
    ours = load_file(out / "model.safetensors")
    assert ours.keys() == expected.keys() == before.keys()
    for name, weight in ours.items():
        assert weight.dtype == before[name].dtype and torch.equal(weight, expected[name]), name
    assert any(not torch.equal(ours[name], before[name]) for name in ours)


def test_conv1d_layers_are_transposed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = tmp_path / "base"
    config = GPT2Config(vocab_size=99, n_embd=32, n_layer=1, n_head=2, n_positions=16)
    GPT2LMHeadModel(config).save_pretrained(base)
    lora = peft.LoraConfig(r=4, target_modules=["c_attn"], fan_in_fan_out=True, task_type="CAUSAL_LM")
    adapter = random_adapter(base, tmp_path / "adapter", torch.float32, lora)
    expected = peft_merge(base, adapter, tmp_path / "peft", torch.float32)
    merge(base, adapter, tmp_path / "ours")
    check_equal(tmp_path / "ours", expected, load_file(base / "model.safetensors"))


REFUSED: dict[str, tuple[peft.PeftConfig, str]] = {
    "vera": (peft.VeraConfig(r=4, **SOME), "This VERA adapter can't be merged.*a plain LoRA for one"),
    "whole modules": (peft.LoraConfig(modules_to_save=["lm_head"], **SOME), "carries whole modules"),
    "pissa": (peft.LoraConfig(init_lora_weights="pissa", **SOME), "changed its base model at the start"),
    "biases": (peft.LoraConfig(lora_bias=True, **ALL), "can't be merged into its base model: Impossible"),
    "embeddings": (peft.LoraConfig(target_modules=["embed_tokens"]), "does not fit the base model"),
    "prompt": (peft.PromptTuningConfig("CAUSAL_LM", num_virtual_tokens=2), "belongs to no layer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_adapters_are_refused(case: str, tmp_path: Path) -> None:
    config, reason = REFUSED[case]
    base = tiny_model(tmp_path / "base", torch.float32)
    adapter = random_adapter(base, tmp_path / "adapter", torch.float32, config)
    with pytest.raises(UserError, match=reason):
        merge(base, adapter, tmp_path / "out")


def test_no_adapter(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base", torch.float32)
    with pytest.raises(UserError, match="no adapter to merge"):
        merge(base, base, tmp_path / "out")
    (base / "adapter_config.json").write_text('{"peft_type": "NONSENSE"}')
    with pytest.raises(UserError, match="damaged adapter_config"):
        merge(base, base, tmp_path / "out")
    (base / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4}')
    with pytest.raises(UserError, match="nothing to merge"):
        merge(base, base, tmp_path / "out")


def test_another_base_model_is_refused(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base", torch.float32)
    adapter = random_adapter(base, tmp_path / "adapter", torch.float32)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=160, hidden_size=32, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4
        )
    ).save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match=r"does not fit.*\(\d+ such problems\)"):
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
    assert float(result.stdout) < 80
    merged = load_file(tmp_path / "out" / "model.safetensors")
    assert all(bool((weight == 8).all()) for weight in merged.values())
