"""The recipe: round trips, and refusals that name the knob."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.base.errors import UserError
from core.commands.train import recipe_file
from core.recipe import Recipe, knobs, parse_recipe


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
        ("rank: [1", "line [12] is not"),
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


def test_a_file_that_means_more_than_it_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))
    path.write_text(f"a0: &a0 [x]\n{levels}\ntarget_modules: *a8\n")
    with pytest.raises(UserError, match="line 2 is not valid YAML: an alias"):
        Recipe.load(path)


@pytest.mark.parametrize("text", ["a: " + "[" * 5000, "seed: " + "1" * 5000, "day: 2026-99-99"])
def test_brackets_without_end_and_numbers_that_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match="is not valid YAML") as caught:
        Recipe.load(path)
    assert len(str(caught.value)) < len(str(path)) + 200


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
