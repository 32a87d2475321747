"""The catalogue: complete entries, exact parameter counts, shapes the estimator can use, clear refusals."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from core.base.errors import UserError
from core.fit import Place, estimate_memory
from core.machine import Hardware, card_named
from core.models import HUB_ID, lora_parameters, spec_of_config
from core.models.catalogue import CatalogueModel, catalogue_model, load_catalogue
from core.recipe import parse_recipe

MODELS = load_catalogue()
TOLERANCE = 0.001


def test_there_is_something_for_every_machine() -> None:
    assert len(MODELS) >= 40
    assert MODELS[0].parameters < 0.2e9 and 30e9 < MODELS[-1].parameters < 33e9
    for low, high in ((0, 1e9), (1e9, 2.5e9), (2.5e9, 5e9), (5e9, 10e9), (10e9, 16e9), (20e9, 33e9)):
        assert sum(low <= model.parameters < high for model in MODELS) >= 4, (low, high)
    assert {model.kind for model in MODELS} == {"instruct", "base"}
    assert sum(not model.gated for model in MODELS) >= 40
    assert len({model.id.casefold() for model in MODELS}) == len(MODELS)
    assert len({model.title for model in MODELS}) == len(MODELS)


def test_every_entry_is_whole() -> None:
    for model in MODELS:
        check_entry(model)


def check_entry(model: CatalogueModel) -> None:
    assert HUB_ID.fullmatch(model.id) and not urlsplit(model.id).scheme
    assert model.kind in ("instruct", "base") and isinstance(model.gated, bool)
    assert model.forbids.startswith("Forbids ") and model.forbids.endswith(".") and len(model.forbids) < 240
    assert model.about.endswith((".", "!")) and len(model.about) < 120
    assert 2048 <= model.context <= 1 << 20
    for words in (model.title, model.family, model.licence, model.languages):
        assert words.strip() == words and 0 < len(words) < 100
    # weights of 4 to 21 bits a parameter: mixtures of 4-bit experts, heads that are stored twice
    assert 0.5 <= model.download_bytes / model.parameters <= 2.6


def test_the_shapes_give_the_published_counts() -> None:
    for model in MODELS:
        spec = spec_of_config(model.config, model.id)
        assert spec.exact, model.id
        assert spec.parameters == pytest.approx(model.parameters, rel=TOLERANCE), model.id
        assert spec.context == model.context, model.id
        assert lora_parameters(spec, 16, "all-linear") > 0, model.id


@pytest.mark.parametrize(
    ("name", "parameters", "gated", "licence"),
    [
        # as the hub's list of models has them
        ("Qwen/Qwen3-8B", 8_190_735_360, False, "Apache-2.0"),
        ("meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248, True, "Llama 3.1 Community License"),
        ("google/gemma-3-4b-it", 4_300_079_472, True, "Gemma Terms of Use"),
        ("mistralai/Mistral-7B-Instruct-v0.3", 7_248_023_552, False, "Apache-2.0"),
        ("microsoft/phi-4", 14_659_507_200, False, "MIT"),
        ("Qwen/Qwen2.5-3B-Instruct", 3_085_938_688, False, "Qwen Research License"),
        ("openai/gpt-oss-20b", 20_914_757_184, False, "Apache-2.0"),
    ],
)
def test_well_known_models(name: str, parameters: int, gated: bool, licence: str) -> None:
    model = catalogue_model(name.lower())
    assert (model.id, model.parameters, model.gated, model.licence) == (name, parameters, gated, licence)


def test_models_of_one_licence_say_the_same() -> None:
    said: dict[str, set[str]] = {}
    for model in MODELS:
        said.setdefault(model.licence, set()).add(model.forbids)
    assert all(len(sentences) == 1 for sentences in said.values()) and len(said) >= 8
    assert "commercial" in catalogue_model("Qwen/Qwen2.5-3B-Instruct").forbids


def test_the_cards_that_an_entry_names_have_room() -> None:
    recipe = parse_recipe(
        {"method": "qlora", "optimizer": "adamw_8bit", "checkpointing": "unsloth", "max_length": 2048}
    )
    named = 0
    for model in MODELS:
        if cards := re.search(r"(?:for|of) (?:[\d]+ to )?(\d+) GB cards", model.about):
            gpu = card_named(f"{cards[1]}GiB")
            place = Place.of(Hardware((), "", 8, 64 << 30, 60 << 30, 1 << 40, "Linux"), gpu)
            estimate = estimate_memory(recipe, spec_of_config(model.config, model.id), place)
            short = "with short texts" in model.about
            assert estimate.verdict == "fits" or (short and estimate.verdict == "tight"), model.id
            named += 1
    assert named > 20


def test_an_unknown_name_tells_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no model Qwen/Qwen3-8\. Did you mean Qwen/Qwen3-8B or "):
        catalogue_model("Qwen/Qwen3-8")
    with pytest.raises(UserError, match=r"no model x\.$"):
        catalogue_model("x")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"licences: [", "can't be read"),
        (b"- a", "is no catalogue"),
        (b"licences: {}\nfamilies: [{models: [{id: a/b}]}]", "incomplete entry"),
    ],
)
def test_a_damaged_file_is_said(tmp_path: Path, raw: bytes, words: str) -> None:
    path = tmp_path / "models.yaml"
    path.write_bytes(raw)
    with pytest.raises(UserError, match=words):
        load_catalogue(path)
