"""From a folder, a file, the cache or the catalogue to shapes, without reading weights."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import UserError
from core.base.home import Home
from core.models import find_spec, hf_cache_models, inspect_model, resolve_model, spec_of_folder
from core.models.headers import stored_in

SMALL: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 32,
    "tie_word_embeddings": True,
    "dtype": "bfloat16",
}
# 32×8 embedding, 2 × (4 × 8×8 + 3 × 8×16 + 2×8), 8
SMALL_PARAMETERS = 256 + 2 * (256 + 384 + 16) + 8
ITEM = {"BF16": 2, "F32": 4, "U8": 1, "I8": 1, "I32": 4, "F16": 2}
Tensors = dict[str, tuple[str, list[int]]]


def entries(tensors: Tensors) -> dict[str, Any]:
    header, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = ITEM[dtype]
        for side in shape:
            size *= side
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    return header


def weights(tensors: Tensors, padding: int = 0) -> bytes:
    header = entries(tensors)
    raw = json.dumps({"__metadata__": {"format": "pt", "note": "x" * padding}, **header}).encode()
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    return struct.pack("<Q", len(raw)) + raw + bytes(end)


def llama_tensors(dtype: str = "BF16") -> Tensors:
    tensors: Tensors = {"model.embed_tokens.weight": (dtype, [32, 8]), "model.norm.weight": (dtype, [8])}
    for layer in range(2):
        at = f"model.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors[f"{at}.self_attn.{name}.weight"] = (dtype, [8, 8])
        for name in ("gate_proj", "up_proj"):
            tensors[f"{at}.mlp.{name}.weight"] = (dtype, [16, 8])
        tensors[f"{at}.mlp.down_proj.weight"] = (dtype, [8, 16])
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{at}.{name}.weight"] = (dtype, [8])
    return tensors


def folder(path: Path, tensors: Tensors | None = None, **config: Any) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps({**SMALL, **config}))
    (path / "tokenizer.json").write_text("{}")
    if tensors is not None:
        (path / "model.safetensors").write_bytes(weights(tensors))
    return path


def test_a_folder_tells_shapes_size_and_what_is_stored(tmp_path: Path, home: Home) -> None:
    model = folder(tmp_path / "acme--tiny", llama_tensors())
    spec = find_spec(home, str(model))
    assert (spec.name, spec.parameters, spec.exact) == ("acme/tiny", SMALL_PARAMETERS, True)
    assert (spec.file_bytes, spec.stored) == (2 * SMALL_PARAMETERS, "bf16")


def test_a_bare_config_is_enough(tmp_path: Path, home: Home) -> None:
    model = folder(tmp_path / "tiny")
    for text in (str(model), str(model / "config.json")):
        spec = find_spec(home, text)
        assert (spec.name, spec.parameters, spec.file_bytes) == ("tiny", SMALL_PARAMETERS, None)
    (model / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json"):
        find_spec(home, str(model / "config.json"))


def test_four_bits_are_counted_as_parameters(tmp_path: Path, home: Home) -> None:
    tensors = llama_tensors()
    for name in [name for name in tensors if "_proj" in name]:
        _, (rows, columns) = tensors[name]
        tensors[name] = ("U8", [rows * columns // 2, 1])
        tensors[f"{name}.absmax"] = ("U8", [rows * columns // 64 or 1])
        tensors[f"{name}.quant_map"] = ("F32", [16])
        tensors[f"{name}.quant_state.bitsandbytes__nf4"] = ("U8", [90])
    quantization = {"load_in_4bit": True, "quant_method": "bitsandbytes"}
    spec = spec_of_folder(home, folder(tmp_path / "a", tensors, quantization_config=quantization))
    assert (spec.parameters, spec.stored) == (SMALL_PARAMETERS, "nf4")
    assert stored_in([entries(tensors)]).parameters == SMALL_PARAMETERS
    # a dynamic repository leaves some projections in 16 bits
    tensors["model.layers.0.mlp.down_proj.weight"] = ("BF16", [8, 16])
    assert spec_of_folder(home, folder(tmp_path / "b", tensors)).stored == "mixed"


def test_other_packings() -> None:
    gptq: Tensors = {"a.qweight": ("I32", [16, 8]), "a.qzeros": ("I32", [1, 8]), "a.scales": ("F16", [1, 8])}
    assert (stored_in([entries(gptq)]).parameters, stored_in([entries(gptq)]).kind) == (16 * 8 * 8, "int4")
    int8: Tensors = {"a.weight": ("I8", [4, 4]), "a.SCB": ("F32", [4])}
    assert (stored_in([entries(int8)]).parameters, stored_in([entries(int8)]).kind) == (16, "int8")
    mxfp4: Tensors = {"a.gate_up_proj_blocks": ("U8", [2, 4, 16]), "a.gate_up_proj_scales": ("U8", [2, 4])}
    assert stored_in([entries(mxfp4)]).parameters == 256
    tied: Tensors = {"e.weight": ("BF16", [4, 4]), "lm_head.weight": ("BF16", [4, 4]), "mtp.x": ("F32", [9])}
    assert (stored_in([entries(tied)], True).parameters, stored_in([entries(tied)]).parameters) == (16, 32)


def test_an_unknown_type_is_counted_from_its_headers(tmp_path: Path, home: Home) -> None:
    model = folder(tmp_path / "new", llama_tensors("F32"), model_type="llama_of_tomorrow", hidden_size=None)
    spec = spec_of_folder(home, model)
    assert (spec.exact, spec.parameters, spec.stored) == (False, SMALL_PARAMETERS, "fp32")
    assert (spec.hidden, spec.vocab, spec.layers, spec.tied) == (8, 32, 2, True)
    shapes = {
        linear.name: (linear.inputs, linear.outputs, linear.count, linear.kind) for linear in spec.linears
    }
    assert shapes["down_proj"] == (16, 8, 2, "mlp")
    assert shapes["q_proj"] == (8, 8, 2, "attention")


def test_headers_have_the_last_word_on_the_count(tmp_path: Path, home: Home) -> None:
    more = {**llama_tensors(), "extra.weight": ("BF16", [100])}
    left_out: Tensors = {
        "lm_head.weight": ("BF16", [32, 8]),
        "mtp.layers.0.weight": ("BF16", [9]),
        "model.layers.2.mlp.up_proj.weight": ("BF16", [16, 8]),
        "model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", [4]),
    }
    spec = spec_of_folder(home, folder(tmp_path / "more", {**more, **left_out}))
    assert (spec.parameters, spec.exact) == (SMALL_PARAMETERS + 100, True)
    # weights that are another model than the config says
    less = spec_of_folder(home, folder(tmp_path / "less", llama_tensors(), hidden_size=800))
    assert (less.parameters, less.hidden, less.exact) == (SMALL_PARAMETERS, 8, False)


@pytest.mark.parametrize(
    "name",
    [7, "../../../etc/x.safetensors", "/etc/x.safetensors", "C:x.safetensors", "a\\x.safetensors", "x.bin"],
)
def test_an_index_names_only_files_of_its_folder(tmp_path: Path, name: object, home: Home) -> None:
    model = folder(tmp_path / "m")
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(UserError, match="impossible files"):
        spec_of_folder(home, model)


def test_weights_in_one_file_come_before_an_index(tmp_path: Path, home: Home) -> None:
    """As Transformers takes them; some repositories keep an index of an earlier version."""
    model = folder(tmp_path / "m", llama_tensors())
    (model / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}}')
    assert spec_of_folder(home, model).parameters == SMALL_PARAMETERS


def test_an_adapter_beside_a_model_is_refused(tmp_path: Path) -> None:
    model = folder(tmp_path / "m", llama_tensors())
    (model / "adapter_config.json").write_text('{"base_model_name_or_path": "/elsewhere"}')
    with pytest.raises(UserError, match="holds an adapter beside the model"):
        inspect_model(model)


def test_what_a_folder_holds_may_be_damaged_or_far_too_large(tmp_path: Path) -> None:
    model = folder(tmp_path / "m", llama_tensors())
    (model / "tokenizer_config.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"tokenizer_config\.json is damaged"):
        inspect_model(model)
    with open(model / "tokenizer_config.json", "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(UserError, match=r"too large for a model's tokenizer_config\.json"):
        inspect_model(model)


def snapshot(cache: Path, name: str, revision: str, tensors: Tensors | None) -> Path:
    top = cache / f"models--{name.replace('/', '--')}"
    (top / "refs").mkdir(parents=True, exist_ok=True)
    (top / "refs" / "main").write_text(revision)
    return folder(top / "snapshots" / revision, tensors)


def test_the_cache_is_listed_and_used(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    assert hf_cache_models() == []
    old = snapshot(cache, "acme/tiny-model", "aaaa", llama_tensors())
    new = snapshot(cache, "acme/tiny-model", "bbbb", llama_tensors())
    half = snapshot(cache, "acme/half", "cccc", None)
    assert hf_cache_models() == [new]
    assert inspect_model(new).name == "acme/tiny-model"
    assert find_spec(home, "acme/tiny-model").file_bytes == 2 * SMALL_PARAMETERS
    assert resolve_model(home, "acme/tiny-model") == new
    (new.parent.parent / "refs" / "main").write_text(old.name)
    assert hf_cache_models() == [old]
    folder(half, llama_tensors())
    assert len(hf_cache_models()) == 2


def test_downloaded_models_come_before_the_cache_and_the_catalogue(tmp_path: Path, home: Home) -> None:
    folder(home.models / "Qwen--Qwen3-0.6B", llama_tensors())
    assert find_spec(home, "Qwen/Qwen3-0.6B").parameters == SMALL_PARAMETERS


def test_the_catalogue_needs_no_network(home: Home) -> None:
    spec = find_spec(home, "qwen/qwen3-0.6b")
    assert (spec.name, spec.parameters, spec.file_bytes) == ("Qwen/Qwen3-0.6B", 596_049_920, None)
    # the starter is known before it is built
    assert find_spec(home, "starter").parameters == 134_515_008


@pytest.mark.parametrize(
    "text", ["", "nonsense", "a/b/c", "owner/na me", "~nobody-here/x/y", "a\0b", "x" * 5000]
)
def test_what_names_no_model_gets_a_sentence(home: Home, text: str) -> None:
    with pytest.raises(UserError, match="There is no model"):
        find_spec(home, text)


def test_files_that_are_no_config_are_not_read(tmp_path: Path, home: Home) -> None:
    for name, words in (("model.safetensors", "is a file"), ("config.json", "too large")):
        with open(tmp_path / name, "wb") as file:
            file.truncate(1 << 30)
        with pytest.raises(UserError, match=words):
            find_spec(home, str(tmp_path / name))
