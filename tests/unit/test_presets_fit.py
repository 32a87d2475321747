"""Every preset holds what it promises: real cards get the right one, and what it suggests fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import yaml

from core.base.home import APP_FOLDER
from core.fit import Place
from core.machine import Card, Gpu, cards, refusal
from core.models.catalogue import load_catalogue
from core.presets import Preset, choose_preset, load_presets, preset_named, suggested_models
from tests.readme_tables import README, class_cards, estimate, has_room, machine, smallest_place, with_tables

CLASSES = yaml.safe_load((APP_FOLDER / "tests" / "data" / "card_classes.yaml").read_text("utf-8"))
CARDS = [line for lines in CLASSES.values() for line in lines]
PRESETS = [pytest.param(preset, id=preset.key) for preset in load_presets()]


def card_of(name: str, gb: float) -> Card:
    """The card of that name whose memory is the nearest: some are sold in two sizes."""
    same = [card for card in cards() if card.gpu.name == name]
    assert same, f"presets/cards.yaml has no {name}"
    return min(same, key=lambda card: abs(card.gpu.total_gib - gb))


def linux(gpu: Gpu) -> str:
    """The key of the preset that a machine with this card gets."""
    return choose_preset(replace(machine(gpu), system="Linux 6"))[0].key


def test_enough_real_cards_are_known() -> None:
    assert len({line.rpartition(" | ")[0] for line in CARDS}) >= 105
    assert len(set(CARDS)) == len(CARDS)


@pytest.mark.parametrize("key", CLASSES)
def test_a_real_card_gets_its_class(key: str) -> None:
    found = {}
    for line in CLASSES[key]:
        name, _, gb = line.rpartition(" | ")
        card = card_of(name, float(gb))
        assert card.gpu.total_gib == pytest.approx(float(gb), rel=0.12), line
        found[line] = linux(card.gpu)
    assert found == dict.fromkeys(CLASSES[key], key)


def able_cards() -> Iterator[tuple[Gpu, Preset]]:
    for card in cards():
        gpu = card.gpu
        if refusal(gpu, machine(gpu)) is None:
            yield gpu, choose_preset(machine(gpu))[0]


def test_what_is_suggested_fits_every_card_of_the_class() -> None:
    for gpu, preset in able_cards():
        place = Place.of(machine(gpu))
        models = suggested_models(preset, gpu) if preset.vendor != "cpu" else ()
        for model in models:
            found = estimate(preset, model, place)
            assert has_room(found), (
                f"{preset.key} on {gpu.name}: {model} takes {found.total:,} of {found.usable:,}"
            )


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_suggested_fits_with_a_twentieth_to_spare(preset: Preset) -> None:
    place = smallest_place(preset)
    for model in preset.models:
        found = estimate(preset, model, place)
        assert has_room(found), f"{model}: {found.total:,} of {found.usable:,}"
        assert found.verdict in ("fits", "tight")


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_suggested_stands_in_the_catalogue(preset: Preset) -> None:
    known = {model.id: model for model in load_catalogue()}
    for name in preset.models:
        assert name in known
        assert known[name].kind == "instruct"
        assert known[name].context >= preset.recipe().max_length
    sizes = [known[name].parameters for name in preset.models]
    assert sizes == sorted(sizes)


def test_every_class_has_a_real_card_and_something_for_cards_without_bfloat16() -> None:
    for preset in load_presets()[1:]:
        assert class_cards(preset), preset.key
        assert all(suggested_models(preset, gpu) for gpu in class_cards(preset))


def test_a_larger_card_is_offered_no_smaller_models() -> None:
    keys = ["gpu-04gb", "gpu-06gb", "gpu-08gb", "gpu-10gb", "gpu-16gb", "gpu-24gb", "gpu-32gb", "gpu-80gb"]
    sizes = {model.id: model.parameters for model in load_catalogue()}
    largest = [max(sizes[name] for name in preset_named(key).models) for key in keys]
    assert largest == sorted(largest)


def test_the_readme_has_todays_tables() -> None:
    text = README.read_text("utf-8")
    assert with_tables(text) == text, "python -m tests.readme_tables --write"
