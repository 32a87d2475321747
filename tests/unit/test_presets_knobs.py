"""The recipe's attention and offload_embedding arrive in the engines: real models, real training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import UserError
from core.base.home import Home
from core.recipe import parse_recipe
from tests.training_runs import losses, make_run, summary, work_side_by_side


@pytest.fixture(scope="module")
def untied_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The little Llama with an lm_head of its own, as larger models have it."""
    from safetensors.numpy import load_file, save_file

    from tests.tiny_model import make_tiny_model

    folder = make_tiny_model(tmp_path_factory.mktemp("models") / "untied")
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"][:, ::-1].copy()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}), "utf-8")
    return folder


def loaded(folder: Path, **knobs: Any) -> Any:
    """The model as the PEFT engine loads it."""
    from core.train.peft import load_model

    return load_model(parse_recipe({"precision": "fp32", **knobs}), folder, "cpu").get_base_model()


@pytest.mark.slow
@pytest.mark.parametrize(("knob", "arrives"), [("auto", "sdpa"), ("sdpa", "sdpa"), ("eager", "eager")])
def test_attention_arrives(tiny_model: Path, knob: str, arrives: str) -> None:
    assert loaded(tiny_model, attention=knob).config._attn_implementation == arrives


@pytest.mark.slow
@pytest.mark.parametrize("cap", [50.0, None])
def test_capped_scores_are_seen(tiny_model: Path, tmp_path: Path, cap: float | None) -> None:
    from core.train.session import caps_scores

    config = {"model_type": "gemma2", "architectures": ["G"], "attn_logit_softcapping": cap}
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    assert caps_scores(tmp_path) == bool(cap)
    assert not caps_scores(tiny_model)


def test_unsloth_is_left_where_the_recipe_names_an_attention() -> None:
    with pytest.raises(UserError, match="choose “auto”"):
        parse_recipe({"engine": "unsloth", "attention": "sdpa"})


@pytest.mark.slow
def test_an_embedding_of_its_own_leaves_the_gpu_and_stays_away(untied_model: Path) -> None:
    from core.train.peft import HostEmbedding

    model = loaded(untied_model, offload_embedding=True)
    embedding = model.get_input_embeddings()
    assert isinstance(embedding, HostEmbedding)
    # neither a parameter nor a submodule: `model.to(device)` can't fetch it back
    assert not list(embedding.parameters())
    assert not any("embed_tokens" in name for name in model.state_dict())


@pytest.mark.slow
def test_a_shared_embedding_stays(tiny_model: Path) -> None:
    model = loaded(tiny_model, offload_embedding=True)
    assert model.get_input_embeddings().weight is model.lm_head.weight


@pytest.mark.slow
def test_the_knobs_change_where_it_is_computed_and_not_what(home: Home, untied_model: Path) -> None:
    plain = make_run(home, untied_model)
    changed = make_run(home, untied_model, offload_embedding=True, attention="eager", checkpointing="hf")
    work_side_by_side([plain, changed])
    assert losses(changed) == pytest.approx(losses(plain), abs=1e-4)
    assert summary(changed)["steps"] == 4
