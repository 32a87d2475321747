"""Model folders: what is read from them, and what is refused before any library sees it."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest

from core import models
from core.base.errors import UserError
from core.base.home import STARTER_GGUF, Home


def header_file(path: Path, tensors: dict[str, list[int]], cut: int = 0) -> None:
    """A safetensors file of zeros in fp32, `cut` bytes short."""
    header, end = {}, 0
    for name, shape in tensors.items():
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    raw = json.dumps(header).encode()
    path.write_bytes((struct.pack("<Q", len(raw)) + raw + bytes(end))[: 8 + len(raw) + end - cut])


def folder(path: Path, **config) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    values = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 2048}
    (path / "config.json").write_text(json.dumps({**values, **config}))
    (path / "tokenizer.json").write_text("{}")
    header_file(path / "model.safetensors", {"a": [3, 4], "b": [5]})
    return path


def test_counts_come_from_the_headers(tmp_path: Path) -> None:
    info = models.inspect_model(folder(tmp_path / "acme--tiny"))
    assert (info.name, info.parameters, info.context, info.chat_template) == ("acme/tiny", 17, 2048, False)
    assert info.architecture == "LlamaForCausalLM"


def test_sharded_weights_count_every_file(tmp_path: Path) -> None:
    model = folder(tmp_path / "m")
    (model / "model.safetensors").unlink()
    header_file(model / "a.safetensors", {"a": [2, 2]})
    header_file(model / "b.safetensors", {"b": [3]})
    index = {"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert models.inspect_model(model).parameters == 7
    (model / "b.safetensors").unlink()
    with pytest.raises(UserError, match=r"lacks b\.safetensors"):
        models.inspect_model(model)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llama\nimport os"},
        {"architectures": ["A", "os.system('x')"]},
        {"architectures": []},
        {"model_type": None},
    ],
)
def test_impossible_names_are_refused(tmp_path: Path, config: dict) -> None:
    with pytest.raises(UserError, match=r"config\.json"):
        models.inspect_model(folder(tmp_path, **config))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_config_that_only_we_could_read_is_refused(tmp_path: Path, encoding: str) -> None:
    model = folder(tmp_path)
    text = (model / "config.json").read_text()
    (model / "config.json").write_text(text, encoding=encoding)
    with pytest.raises(UserError, match="Save it as UTF-8 without"):
        models.inspect_model(model)


def test_pickled_weights_are_not_opened(tmp_path: Path) -> None:
    model = folder(tmp_path)
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(UserError, match="not opened"):
        models.inspect_model(model)


def test_cut_and_absurd_weights_are_named(tmp_path: Path) -> None:
    model = folder(tmp_path)
    header_file(model / "model.safetensors", {"a": [64]}, cut=10)
    with pytest.raises(UserError, match="cut off"):
        models.inspect_model(model)
    (model / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(UserError, match="header"):
        models.inspect_model(model)


def test_names_become_folders(home: Home, tmp_path: Path) -> None:
    assert models.model_folder(home, "Qwen/Qwen3-0.6B") == home.models / "Qwen--Qwen3-0.6B"
    assert models.is_hub_id("Qwen/Qwen3-0.6B")
    assert not models.is_hub_id("../../etc/passwd")
    assert not models.is_hub_id(str(folder(tmp_path / "here")))
    with pytest.raises(UserError, match="not on this machine yet"):
        models.resolve_model(home, "Qwen/Qwen3-0.6B")
    with pytest.raises(UserError, match="There is no folder"):
        models.resolve_model(home, str(tmp_path / "nowhere"))


def test_a_gguf_is_no_model_to_train_and_its_original_is_named(home: Home, tmp_path: Path) -> None:
    shutil.copy(STARTER_GGUF, tmp_path / "some.gguf")
    for place in (tmp_path, tmp_path / "some.gguf"):
        with pytest.raises(
            UserError, match=r"some.gguf is a GGUF file.*the original, Smollm2 135M.*safetensors"
        ):
            models.resolve_model(home, str(place))
    (tmp_path / "some.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match="Get the original model as safetensors"):
        models.resolve_model(home, str(tmp_path))
