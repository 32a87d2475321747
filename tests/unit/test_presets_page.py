"""The Preset step's hints about epochs and learning rate, and own presets that are changed in place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.base.errors import UserError
from core.base.home import Home
from core.presets import preset_named
from ui import preset, preset_hints, preset_own
from ui.bench import Bench
from ui.data_look import Look
from ui.files import send_preset


@pytest.fixture
def bench(home: Home, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A page with a 32 B model and 12,000 rows."""
    found = Bench(home)
    found.choose(model_kind="catalogue", catalogue="Qwen/Qwen3-32B")
    seen = Look(found.choices(), found.recipe_so_far())

    class Counted:
        rows_usable = 12_000

    monkeypatch.setattr(preset_hints, "look", lambda bench: replace(seen, report=Counted()))
    return found


def test_what_data_and_model_want_is_offered_and_taken(bench: Bench) -> None:
    html = preset.words_html(bench)
    assert "With 12,000 rows, once is enough." in html
    assert 'id="take-epochs"' in html
    assert 'id="take-learning_rate"' in html
    preset.on_act(bench, "take-usual", "epochs")
    preset.on_act(bench, "take-usual", "learning_rate")
    recipe = bench.recipe_so_far()
    assert (recipe.epochs, recipe.learning_rate) == (1, 1e-4)
    assert preset_hints.hints(bench) == {}
    with pytest.raises(UserError, match="already"):
        preset.on_act(bench, "take-usual", "epochs")


def test_what_a_person_has_chosen_stays_theirs(bench: Bench) -> None:
    preset.on_edit(bench, "epochs", "5")
    assert list(preset_hints.hints(bench)) == ["learning_rate"]
    preset_own.save(bench, "Mine")
    assert preset_hints.hints(bench) == {}


def test_the_chosen_own_preset_is_changed_in_place_and_no_other(bench: Bench) -> None:
    preset_own.save(bench, "Mine")
    preset.on_edit(bench, "rank", "32")
    preset_own.save(bench, "mine")
    assert preset_named("my-mine", bench.home).recipe().rank == 32
    bench.choose(preset="")
    with pytest.raises(UserError, match="Choose it to change it"):
        preset_own.save(bench, "Mine")


def test_a_name_in_any_script_can_be_downloaded(bench: Bench) -> None:
    preset_own.save(bench, "Пират 8 ГБ")
    reply = send_preset(bench, "my-пират-8-гб")
    assert reply.status_code == 200
    assert reply.headers["content-disposition"].isascii()
    assert send_preset(bench, "my-nothing").status_code == 404
