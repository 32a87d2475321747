"""A person's own presets: saved, replaced, deleted, shared as files, and files of strangers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.base.home import APP_FOLDER, Home, open_home
from core.commands.train import recipe_file
from core.presets import (
    delete_preset,
    import_preset,
    load_presets,
    own_presets,
    preset_knobs,
    preset_named,
    save_preset,
)
from core.recipe import Recipe

RECIPE = Recipe(rank=64, max_length=3000, quantization="nf4", data="private.jsonl", name="a run", seed=7)


def test_what_is_saved_comes_back_without_the_run(home: Home) -> None:
    saved = save_preset(home, "Pirate, 8 GB", RECIPE, gpu_gib=8)
    assert preset_named("my-pirate-8-gb", home) == saved
    assert (saved.own, saved.title, saved.gpu_gib, saved.hardware) == (True, "Pirate, 8 GB", 8, None)
    recipe = saved.recipe()
    for knob in preset_knobs():
        assert getattr(recipe, knob) == getattr(RECIPE, knob), knob
    assert (recipe.data, recipe.name, recipe.preset) == ("sample", "", saved.key)
    assert "private" not in (home.presets / "my-pirate-8-gb.yaml").read_text("utf-8")


def test_own_ones_stand_after_ours_and_are_never_taken_unasked(home: Home) -> None:
    ours = load_presets()
    save_preset(home, "zebra", RECIPE)
    save_preset(home, "Ape", RECIPE)
    assert [preset.title for preset in load_presets(home)[len(ours) :]] == ["Ape", "zebra"]
    assert load_presets() == ours
    with pytest.raises(UserError, match="no preset “my-ape”"):
        preset_named("my-ape")


def test_a_name_that_is_taken_is_replaced_only_when_asked(home: Home) -> None:
    save_preset(home, "Mine", RECIPE)
    other = RECIPE.with_changes(rank=8)
    with pytest.raises(UserError, match="“mine” already"):
        save_preset(home, "mine", other)
    assert preset_named("my-mine", home).recipe().rank == 64
    save_preset(home, "mine", other, overwrite=True)
    assert preset_named("my-mine", home).recipe().rank == 8


def test_deleted_is_deleted_and_ours_stay(home: Home) -> None:
    save_preset(home, "Mine", RECIPE)
    delete_preset(home, "my-mine")
    assert own_presets(home) == ([], [])
    for key in ("cpu", "my-mine", "../recipe", "my-../../x", ""):
        with pytest.raises(UserError, match="no preset"):
            delete_preset(home, key)


def test_a_shared_file_arrives_elsewhere(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "from-a-friend.yaml"
    file.write_text(save_preset(home, "Pirate", RECIPE, "Talks like one.").to_yaml(), "utf-8")
    friend = open_home(tmp_path / "friend")
    got = import_preset(friend, file)
    assert got.recipe() == preset_named("my-pirate", home).recipe()
    assert got.about == "Talks like one."
    again = import_preset(friend, file)
    assert (again.key, again.title) == ("my-pirate-2", "Pirate 2")
    assert [preset.key for preset in own_presets(friend)[0]] == ["my-pirate", "my-pirate-2"]


def test_ours_can_become_somebodys_own(home: Home) -> None:
    got = import_preset(home, APP_FOLDER / "presets" / "gpu-24gb.yaml")
    assert got.own
    assert got.hardware is None
    assert got.models == preset_named("gpu-24gb").models
    changes = {"preset": "same"}
    assert got.recipe(**changes) == preset_named("gpu-24gb").recipe(**changes)


@settings(max_examples=30)
@given(name=st.text(max_size=70))
def test_any_name_is_taken_or_refused_in_words(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    home = open_home(tmp_path_factory.mktemp("home"))
    try:
        saved = save_preset(home, name, RECIPE)
    except UserError:
        assert own_presets(home) == ([], [])
        return
    assert preset_named(saved.key, home) == saved
    assert (home.presets / f"{saved.key}.yaml").parent == home.presets
    assert import_preset(home, home.presets / f"{saved.key}.yaml").title != saved.title


@settings(max_examples=40)
@given(data=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_a_strangers_file_is_refused_in_words(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("home")
    (folder / "odd.yaml").write_bytes(data)
    with pytest.raises(UserError, match=r"odd\.yaml"):
        import_preset(open_home(folder), folder / "odd.yaml")


def test_a_damaged_file_is_named_and_harms_no_other(home: Home) -> None:
    save_preset(home, "Good", RECIPE)
    (home.presets / "my-bad.yaml").write_text("title: [", "utf-8")
    (home.presets / "my-large.yaml").write_text("title: A\nsettings: {}\n#" + "x" * 70_000, "utf-8")
    found, problems = own_presets(home)
    assert [preset.title for preset in found] == ["Good"]
    assert len(problems) == 2
    assert "my-bad.yaml" in problems[0]
    assert "my-large.yaml" in problems[1]
    assert [preset.key for preset in load_presets(home)][-1] == "my-good"


def test_files_that_are_not_there(home: Home, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be read"):
        import_preset(home, tmp_path / "none.yaml")


def test_a_recipe_may_name_an_own_preset(home: Home, tmp_path: Path) -> None:
    save_preset(home, "Mine", RECIPE)
    (tmp_path / "recipe.yaml").write_text("preset: my-mine\nrank: 8\n", "utf-8")
    recipe = recipe_file(tmp_path / "recipe.yaml", home)
    assert (recipe.preset, recipe.rank, recipe.max_length) == ("my-mine", 8, 3000)
