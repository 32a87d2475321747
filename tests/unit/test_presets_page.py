"""The Preset step's hints about epochs and learning rate, and own presets that are changed in place."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from core.base.errors import UserError
from core.presets import preset_named
from tests.ui_page import act, drawn, edit
from ui.bench import Bench
from ui.files import send_preset
from ui.scene import Scene, scene_of
from ui.steps import preset
from ui.steps.preset import hints


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A page with a 32 B model and 12,000 rows."""
    bench.choose(model_kind="catalogue", catalogue="Qwen/Qwen3-32B")
    monkeypatch.setattr(preset, "scene_of", counted)
    return bench


def counted(bench: Bench) -> Scene:
    scene = scene_of(bench)
    assert scene.data.report is not None
    report = replace(scene.data.report, rows_usable=12_000)
    return scene.where(data=replace(scene.data, report=report))


def test_what_data_and_model_want_is_offered_and_taken(bench: Bench) -> None:
    html = drawn(counted(bench), "preset-words")
    assert "With 12,000 rows, once is enough." in html
    assert 'id="take-epochs"' in html
    assert 'id="take-learning_rate"' in html
    act(bench, "preset", "take-usual", "epochs")
    act(bench, "preset", "take-usual", "learning_rate")
    recipe = scene_of(bench).recipe
    assert (recipe.epochs, recipe.learning_rate) == (1, 1e-4)
    assert hints(counted(bench)) == {}
    with pytest.raises(UserError, match="already"):
        act(bench, "preset", "take-usual", "epochs")


def test_what_a_person_has_chosen_stays_theirs(bench: Bench) -> None:
    edit(bench, "preset", "epochs", "5")
    assert list(hints(counted(bench))) == ["learning_rate"]
    preset.save(bench, "Mine")
    assert hints(counted(bench)) == {}


def test_the_chosen_own_preset_is_changed_in_place_and_no_other(bench: Bench) -> None:
    preset.save(bench, "Mine")
    edit(bench, "preset", "rank", "32")
    preset.save(bench, "mine")
    assert preset_named("my-mine", bench.home).recipe().rank == 32
    bench.choose(preset="")
    with pytest.raises(UserError, match="Choose it to change it"):
        preset.save(bench, "Mine")


def test_a_name_in_any_script_can_be_downloaded(bench: Bench) -> None:
    preset.save(bench, "Пират 8 ГБ")
    reply = send_preset(bench, "my-пират-8-гб")
    assert reply.status_code == 200
    assert reply.headers["content-disposition"].isascii()
    with pytest.raises(UserError):
        send_preset(bench, "my-nothing")


def test_target_modules_that_the_model_lacks_are_refused_at_their_field(bench: Bench) -> None:
    with pytest.raises(UserError, match="has no layers named nonsense. It has q_proj, .*It stays as it was"):
        edit(bench, "preset", "target_modules", "nonsense")
    edit(bench, "preset", "target_modules", "q_proj, v_proj")
    assert scene_of(bench).missing is None and scene_of(bench).fit is not None


def test_another_model_without_them_waits_for_a_change(bench: Bench) -> None:
    """Phi-4 has one layer for all three: nothing is counted, Start says why, and the catalogue stays."""
    edit(bench, "preset", "target_modules", "q_proj, v_proj")
    bench.choose(catalogue="microsoft/phi-4")
    scene = scene_of(bench)
    assert scene.missing is not None and scene.fit is None
    assert scene.missing[0] == "preset" and "no layers named q_proj, v_proj" in scene.missing[1]
    assert "Change the target modules" in scene.missing[1]
    assert scene.model and scene.estimate(scene.model).total > 0


def test_options_stay_where_they_are_and_the_chosen_one_is_checked(bench: Bench) -> None:
    def options() -> list[tuple[str, str]]:
        html = drawn(scene_of(bench), "preset-panel")
        return re.findall(r'<input type="radio" id="([^"]+)"[^>]*?( checked)?>', html)

    before = options()
    other = before[-1][0].removeprefix("lg-preset-")
    edit(bench, "preset", "preset", other)
    after = options()
    assert [name for name, _ in after] == [name for name, _ in before]
    assert [name for name, checked in after if checked] == [f"lg-preset-{other}"]
