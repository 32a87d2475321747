"""Make it fit and use the room: the knobs in their order, each step with its saving, no more than needed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.fit import Lengths, MemoryEstimate, Place, estimate_memory
from core.fit.search import (
    Candidate,
    FitStep,
    changes_of,
    four_bits_help,
    make_it_fit,
    smaller_models,
    use_the_room,
)
from core.machine import GIB, card_named
from core.models import ModelSpec, spec_of_config
from core.models.catalogue import catalogue_model
from core.recipe import Recipe, parse_recipe

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
QLORA = parse_recipe(
    {
        "method": "qlora",
        "max_length": 4096,
        "micro_batch": 4,
        "accumulate": 4,
        "checkpointing": "unsloth",
        "optimizer": "adamw_8bit",
    }
)
# what costs quality comes last, and after all another model
ORDER = (
    *("checkpointing", "micro_batch", "optimizer", "longest", "quantization", "max_length"),
    *("offload_embedding", "halved", "rank", "model"),
)


@cache
def spec_of(name: str) -> ModelSpec:
    return spec_of_config(catalogue_model(name).config, name)


def card(gib: float, **changes: Any) -> Place:
    gpu = replace(card_named(f"{gib}"), **changes)
    return Place(gpu, round(gib * GIB), 32 * GIB, 500 * GIB, "Linux")


@pytest.fixture(scope="module")
def llama() -> ModelSpec:
    return spec_of(LLAMA)


@pytest.fixture(scope="module")
def models() -> list[Candidate]:
    return list(smaller_models())


def fit(
    spec: ModelSpec, recipe: Recipe, place: Place, lengths: Lengths | None = None, models: Any = ()
) -> list[FitStep]:
    return make_it_fit(recipe, spec, place, lengths, models)


def after(
    spec: ModelSpec, recipe: Recipe, place: Place, steps: list[FitStep], lengths: Lengths | None = None
) -> MemoryEstimate:
    """The estimate with all steps taken, without the search's own help."""
    changes = changes_of(steps)
    name = changes.pop("model", None)
    longest = lengths.longest if lengths else None
    return estimate_memory(recipe.with_changes(**changes), spec_of(name) if name else spec, place, longest)


def test_what_fits_needs_no_step(llama: ModelSpec) -> None:
    assert fit(llama, QLORA, card(24)) == []


def test_an_8b_model_gets_onto_a_card_of_8_gib(llama: ModelSpec, models: list[Candidate]) -> None:
    steps = fit(llama, QLORA, card(8), models=models)
    assert steps and "model" not in changes_of(steps)
    assert after(llama, QLORA, card(8), steps).verdict == "fits"


@pytest.mark.parametrize("gib", [2, 4, 5, 6, 7, 8, 10, 12])
@pytest.mark.parametrize("lengths", [None, Lengths(300, 900, 2000)])
def test_the_steps_say_what_they_save(
    llama: ModelSpec, models: list[Candidate], gib: float, lengths: Lengths | None
) -> None:
    work = QLORA.with_changes(quantization="none", rank=64)
    steps = fit(llama, work, card(gib), lengths, models)
    total = after(llama, work, card(gib), [], lengths).total
    for number, step in enumerate(steps, 1):
        assert step.saves == total - step.total
        assert step.total == after(llama, work, card(gib), steps[:number], lengths).total
        total = step.total
    places = [ORDER.index(kind_of(step, lengths)) for step in steps]
    assert places == sorted(places)


def kind_of(step: FitStep, lengths: Lengths | None) -> str:
    """Its knob; for lengths also what they follow from."""
    knob = next(iter(step.change))
    if knob != "max_length":
        return knob
    return "halved" if lengths is None else "longest" if "nothing is cut" in step.words else knob


def test_nothing_is_given_up_in_vain(llama: ModelSpec) -> None:
    """Without any one of the steps it would not fit."""
    work = QLORA.with_changes(rank=256, optimizer="adamw_torch", checkpointing="none")
    steps = fit(llama, work, card(10))
    assert after(llama, work, card(10), steps).verdict == "fits"
    for left_out in range(len(steps)):
        rest = [step for number, step in enumerate(steps) if number != left_out]
        assert after(llama, work, card(10), rest).verdict != "fits"


def test_the_effective_batch_stays(llama: ModelSpec) -> None:
    changes = changes_of(fit(llama, QLORA.with_changes(micro_batch=6, accumulate=3), card(10)))
    assert changes["micro_batch"] * changes["accumulate"] == 18


def test_lengths_follow_the_data(llama: ModelSpec) -> None:
    """First to the longest row, which cuts nothing; then to 99 and 95 % of the rows; never below."""
    work = QLORA.with_changes(max_length=32768, micro_batch=1, accumulate=16)
    lengths = Lengths(p95=2_000, p99=8_000, longest=20_000)
    place = card(10)
    steps = fit(llama, work, place, lengths)
    chosen = [step.change["max_length"] for step in steps if "max_length" in step.change]
    assert set(chosen) <= {20_032, 8_000, 2_048}
    assert after(llama, work, place, steps, lengths).verdict == "fits"


def test_another_model_comes_last_and_only_when_nothing_else_runs(
    llama: ModelSpec, models: list[Candidate]
) -> None:
    steps = fit(llama, QLORA, card(4), models=models)
    assert list(steps[-1].change) == ["model"]
    name = steps[-1].change["model"]
    assert spec_of(name).parameters < llama.parameters
    assert catalogue_model(name).kind == "instruct"
    assert after(llama, QLORA, card(4), steps).verdict == "fits"


def test_the_own_family_is_preferred(models: list[Candidate]) -> None:
    spec = spec_of("Qwen/Qwen2.5-14B-Instruct")
    steps = fit(spec, QLORA.with_changes(micro_batch=1), card(8), models=models)
    assert catalogue_model(steps[-1].change["model"]).family == catalogue_model(spec.name).family


def test_the_catalogue_is_not_read_unless_needed(llama: ModelSpec) -> None:
    def never():
        raise AssertionError("asked for models")
        yield

    assert fit(llama, QLORA, card(8), models=never())


def test_where_nothing_helps_the_steps_still_save_most(llama: ModelSpec) -> None:
    steps = fit(llama, QLORA, card(1))
    assert steps and after(llama, QLORA, card(1), steps).verdict == "no"
    assert steps[-1].total < after(llama, QLORA, card(1), []).total


def test_an_apple_gpu_gets_no_bitsandbytes(llama: ModelSpec) -> None:
    place = card(12, vendor="apple", capability=None, arch="M3", unified=True)
    work = QLORA.with_changes(quantization="none", optimizer="adamw_torch", precision="fp32")
    changes = changes_of(fit(llama, work, place))
    assert not {"quantization", "optimizer", "offload_embedding"} & changes.keys()


def test_on_a_cpu_no_unsloth_checkpointing() -> None:
    spec = spec_of("Qwen/Qwen3-0.6B")
    place = Place(None, 6 * GIB, 8 * GIB)
    work = Recipe(max_length=4096, micro_batch=4)
    steps = fit(spec, work, place)
    assert {step.change.get("checkpointing") for step in steps} <= {None, "hf"}
    assert after(spec, work, place, steps).verdict == "fits"


@settings(max_examples=30)
@given(
    gib=st.floats(2, 80),
    rank=st.sampled_from([4, 8, 16, 64, 512]),
    micro=st.integers(1, 12),
    accumulate=st.integers(1, 9),
    length=st.integers(16, 40_000),
    quantization=st.sampled_from(["none", "nf4"]),
    checkpointing=st.sampled_from(["none", "hf", "unsloth"]),
    data=st.none() | st.lists(st.integers(1, 60_000), min_size=3, max_size=3).map(sorted),
)
def test_any_search_ends_and_never_gets_worse(
    gib, rank, micro, accumulate, length, quantization, checkpointing, data
) -> None:
    spec, place = spec_of("Qwen/Qwen3-8B"), card(gib)
    lengths = Lengths(*data) if data else None
    work = parse_recipe(
        {
            "quantization": quantization,
            "rank": rank,
            "max_length": length,
            "micro_batch": micro,
            "accumulate": accumulate,
            "checkpointing": checkpointing,
        }
    )
    before = after(spec, work, place, [], lengths)
    steps = fit(spec, work, place, lengths)
    assert all(step.saves > 0 for step in steps)
    found = after(spec, work, place, steps, lengths)
    order = ("fits", "tight", "no")
    assert order.index(found.verdict) <= order.index(before.verdict)
    room = use_the_room(work, spec, place, lengths)
    assert not room or after(spec, work, place, room, lengths).verdict == before.verdict == "fits"


def test_room_is_used_for_speed(llama: ModelSpec) -> None:
    place = card(80)
    work = QLORA.with_changes(max_length=1024, micro_batch=1, accumulate=16, offload_embedding=True)
    steps = use_the_room(work, llama, place)
    changes = changes_of(steps)
    assert changes["checkpointing"] == "none"
    assert changes["micro_batch"] * changes["accumulate"] == 16
    assert after(llama, work, place, steps).verdict == "fits"


def test_no_room_where_it_does_not_fit(llama: ModelSpec) -> None:
    assert use_the_room(QLORA, llama, card(6)) == []


def test_a_recipe_takes_every_step(llama: ModelSpec, models: list[Candidate]) -> None:
    """What the search says of a recipe are the recipe's own knobs, and the adapter's strength is kept."""
    recipe = Recipe(
        quantization="none", rank=128, alpha=256, max_length=8192, micro_batch=8, accumulate=2, engine="peft"
    )
    steps = make_it_fit(recipe, llama, card(8), None, models)
    changed = recipe.with_changes(**changes_of(steps))
    assert changed.effective_batch == recipe.effective_batch
    assert changed.alpha / changed.rank == recipe.alpha / recipe.rank
    spec = spec_of(changed.model) if changed.model != recipe.model else llama
    found = estimate_memory(changed, spec, card(8))
    assert (found.total, found.verdict) == (steps[-1].total, "fits")
    room = use_the_room(recipe.with_changes(quantization="nf4", micro_batch=1), llama, card(80))
    assert recipe.with_changes(**changes_of(room))


def test_a_correction_counts_in_the_search(llama: ModelSpec) -> None:
    work, place = QLORA.with_changes(max_length=2048, micro_batch=1), card(10)
    assert make_it_fit(work, llama, place) == []
    assert make_it_fit(work, llama, place, factor=1.4)


@pytest.mark.parametrize(
    ("place", "model", "helps"),
    [
        (Place(None, 20 * GIB, 24 * GIB), LLAMA, False),
        (Place(None, 2 * GIB, 4 * GIB), "HuggingFaceTB/SmolLM2-135M-Instruct", True),
        (Place(card_named("RTX 3060"), 11 * GIB, 32 * GIB), LLAMA, True),
        (Place(card_named("M3 Max"), 24 * GIB, 36 * GIB), LLAMA, False),
    ],
)
def test_four_bits_help_where_the_search_takes_them(place: Place, model: str, helps: bool) -> None:
    recipe = Recipe(max_length=512, precision="fp32")
    assert four_bits_help(recipe, spec_of(model), place) == helps


def test_unsloths_checkpointing_is_only_offered_where_it_trains(llama: ModelSpec) -> None:
    plain = QLORA.with_changes(engine="peft", checkpointing="hf")
    steps = fit(llama, plain, card(8))
    assert steps and all("checkpointing" not in step.change for step in steps)


def test_a_smaller_model_without_the_named_modules_gets_all_linear_layers(
    llama: ModelSpec, models: list[Candidate]
) -> None:
    fused = next(model for model in models if model.id == "microsoft/Phi-4-mini-instruct")
    steps = make_it_fit(parse_recipe({"target_modules": ["q_proj"]}), llama, card(5), None, [fused])
    assert steps[-1].change == {"model": fused.id, "target_modules": "all-linear"}
