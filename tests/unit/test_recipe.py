"""The recipe: round trips, refusals that name the knob, and presets that fit it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.hardware import GIB, Gpu, Hardware
from core.presets import choose_preset, load_presets, preset_named
from core.recipe import Recipe, knobs, parse_recipe
from core.walk import recipe_file


@given(
    rank=st.integers(1, 512),
    learning_rate=st.floats(1e-9, 1),
    name=st.text(max_size=60),
    modules=st.just("all-linear") | st.lists(st.sampled_from(["q_proj", "k_proj", "down_proj"]), min_size=1),
    max_steps=st.none() | st.integers(1, 10**6),
)
def test_yaml_round_trip(tmp_path_factory, rank, learning_rate, name, modules, max_steps) -> None:
    recipe = Recipe(
        rank=rank, learning_rate=learning_rate, name=name, target_modules=modules, max_steps=max_steps
    )
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    recipe.save(path)
    assert Recipe.load(path) == recipe


def test_every_wrong_knob_is_named_at_once() -> None:
    with pytest.raises(UserError) as caught:
        parse_recipe({"rank": 0, "speed": 1, "quantization": "int3", "target_modules": ["os.system('x')"]})
    for word in ("rank", "speed", "quantization", "target_modules"):
        assert f"“{word}”" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rank: [1", "line 1"),
        ("- a\n- b\n", "holds no recipe"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_files_that_are_no_recipe(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        Recipe.load(path)


def test_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no file"):
        Recipe.load(tmp_path / "none.yaml")


def test_unsloth_checkpointing_needs_unsloth() -> None:
    with pytest.raises(UserError, match="choose “hf”"):
        parse_recipe({"engine": "peft", "checkpointing": "unsloth"})


def test_every_knob_says_what_it_is() -> None:
    for name, knob in knobs().items():
        assert len(knob["help"]) > 15, name
        assert knob["group"], name
    assert knobs()["rank"]["maximum"] == 512
    assert knobs()["quantization"]["choices"] == ["none", "nf4"]


def test_presets_are_valid_and_ordered() -> None:
    presets = load_presets()
    assert [preset.gpu_gib for preset in presets] == [0, 8, 12, 16, 24]
    for preset in presets:
        recipe = preset.recipe(name="x")
        assert (recipe.rank, recipe.target_modules, recipe.preset) == (16, "all-linear", preset.key)
        assert 8 <= recipe.effective_batch <= 16
        assert recipe.method == ("LoRA" if preset.gpu_gib == 0 else "QLoRA")
    with pytest.raises(UserError, match="cpu"):
        preset_named("gpu-3gb")


def machine(*gpus: Gpu) -> Hardware:
    return Hardware(
        gpus=gpus, cpu="x", cores=4, ram=16 * GIB, ram_free=8 * GIB, disk_free=99 * GIB, system="Linux"
    )


def gpu(name: str, gib: float) -> Gpu:
    return Gpu(name, int(gib * GIB), int(gib * GIB * 0.9), (8, 6), "580.1")


@pytest.mark.parametrize(
    ("gpus", "key"),
    [
        ([], "cpu"),
        ([gpu("GTX 1650", 4.0)], "cpu"),
        ([gpu("RTX 3070", 8.0)], "gpu-08gb"),
        ([gpu("RTX 3060", 11.76)], "gpu-12gb"),
        ([gpu("RTX 3080", 10.0)], "gpu-08gb"),
        ([gpu("RTX 4080", 15.99)], "gpu-16gb"),
        ([gpu("RTX 4090", 23.99), gpu("RTX 3060", 12.0)], "gpu-24gb"),
        ([gpu("H200", 139.8)], "gpu-24gb"),
    ],
)
def test_the_largest_preset_that_fits_is_chosen(gpus: list[Gpu], key: str) -> None:
    preset, reason = choose_preset(machine(*gpus))
    assert preset.key == key
    assert reason


def test_data_may_be_several_files_but_not_none() -> None:
    recipe = Recipe(data=["a.jsonl", "b.csv"], columns={"Q": "user"}, fixes=["duplicates"])
    assert parse_recipe(recipe.model_dump()) == recipe
    for empty in ("", []):
        with pytest.raises(UserError, match="“data"):
            parse_recipe({"data": empty})


def test_a_recipe_file_names_its_data_from_its_own_folder(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text("", "utf-8")
    (tmp_path / "recipe.yaml").write_text("data: [a.jsonl, b.jsonl, gone.jsonl]\nheldout: b.jsonl\n", "utf-8")
    recipe = recipe_file(tmp_path / "recipe.yaml")
    assert recipe.data == [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"), "gone.jsonl"]
    assert recipe.heldout == str(tmp_path / "b.jsonl")
