"""The fit meter as plain functions: what it says for an estimate, what its buttons change and take back."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.fit import MemoryEstimate, Term
from core.fit.learned import Measured, note_measured, read_measured
from core.fit.search import FitStep
from core.machine import GIB
from core.presets import own_presets
from tests.ui_page import act, drawn, edit, shown
from ui import fit, frame
from ui.bench import Bench
from ui.charts import memory_bar
from ui.choices import Choices
from ui.render import ENVIRONMENT
from ui.scene import Scene, scene_of
from ui.steps import preset
from ui.words import largest, memory, of_memory, room

KEYS = (
    "weights",
    "unquantized",
    "adapter",
    "gradients",
    "optimizer",
    "activations",
    "logits",
    "context",
    "new",
)
PROBES = Path(__file__).resolve().parents[1] / "data" / "probes"


def estimate(usable: float, *gib: float, correction: float = 1.0) -> MemoryEstimate:
    """An estimate with parts of that many GiB."""
    terms = tuple(
        Term(key, round(size * GIB), key.capitalize(), f"Why {key}.") for key, size in zip(KEYS, gib)
    )
    total = sum(gib) * correction
    verdict = "no" if total > usable else "tight" if total > 0.9 * usable else "fits"
    return MemoryEstimate(
        terms, round(usable * GIB), verdict, GIB, GIB, 8_000_000_000, 40_000_000, correction
    )


def bar_html(made: MemoryEstimate) -> str:
    macros: Any = ENVIRONMENT.get_template("preset/bar.html").module
    return macros.bar(made)


def with_estimate(bench: Bench, made: MemoryEstimate) -> Scene:
    """The scene with another estimate of what the run takes."""
    scene = scene_of(bench)
    assert scene.fit is not None
    return scene.where(fit=replace(scene.fit, estimate=made))


# ----- words and the bar


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 MB"), (1 << 20, "1 MB"), (0.5 * GIB, "0.5 GB"), (7.25 * GIB, "7.2 GB"), (141 * GIB, "141 GB")],
)
def test_memory_is_said_in_the_unit_of_the_box(size: float, words: str) -> None:
    assert memory(size) == words


def test_how_much_of_how_much_names_a_common_unit_once() -> None:
    assert of_memory(5.3 * GIB, 7.2 * GIB) == "5.3 of 7.2 GB"
    assert of_memory(50 << 20, 7.2 * GIB) == "50 MB of 7.2 GB"


@settings(max_examples=40)
@given(st.lists(st.floats(0, 40), min_size=1, max_size=len(KEYS)), st.floats(0.5, 90), st.floats(0.75, 1.5))
def test_the_bar_never_leaves_its_box(sizes: list[float], usable: float, correction: float) -> None:
    made = estimate(usable, *sizes, correction=correction)
    widths = [float(width) for width in re.findall(r"width:([\d.]+)%", bar_html(made))]
    assert sum(widths) <= 100.1
    assert ("<i " in bar_html(made)) == (made.total > made.usable)


def test_the_table_names_every_part(bench: Bench) -> None:
    made = estimate(8, 5, 1, 0.1, 0.1, 0.2, correction=1.2)
    table = drawn(with_estimate(bench, made), "fit-parts")
    assert table.count('scope="row"') == len(memory_bar(made).parts) == 5
    assert f"<td>{memory(made.total)}</td>" in table


def test_the_parts_stand_in_families_with_shades_of_their_own() -> None:
    made = memory_bar(estimate(24, 5, 1, 0.1, 0.1, 0.2, 3, 1, 0.5)).parts
    assert [piece.style for piece in made][:3] == [
        "lg-part-model lg-shade-0",
        "lg-part-model lg-shade-1",
        "lg-part-adapter lg-shade-0",
    ]
    assert len({piece.style for piece in made}) == len(made)


def test_one_sentence_says_what_dominates() -> None:
    most = estimate(8, 5, 0.5)
    assert largest(most, packed=False).startswith("Most of it is the weights: 5.0 GB, 91%.")
    assert "4 bits already" in largest(most, packed=True)
    assert "4 bits would not help" in largest(most, packed=False, packing_helps=False)
    assert "Shorter rows" in largest(estimate(8, 1, 1, 0, 0, 0, 1.5), packed=True)
    assert largest(estimate(8), packed=False) == "Nothing is known about the memory of this model."


def test_the_verdict_is_a_sign_and_a_word() -> None:
    macros: Any = ENVIRONMENT.globals["ui"]
    for size, words in ((5, "✓</span> Fits"), (7.5, "!</span> Tight"), (9, "✗</span> Doesn’t fit")):
        assert words in str(macros.verdict(estimate(8, size).verdict))
    assert room(estimate(8, 9)) == "1.0 GB too much"
    assert room(estimate(8, 5)) == "3.0 GB to spare"


def test_a_title_from_elsewhere_is_only_text(bench: Bench) -> None:
    made = replace(estimate(8), terms=(Term("x", GIB, "<b>", '"><script>'),))
    assert "<script>" not in drawn(with_estimate(bench, made), "fit-meter", "fit-parts")


# ----- sliders


def test_the_sliders_stand_where_the_recipe_is(bench: Bench) -> None:
    bench.choose(changes={"max_length": 700, "rank": 24})
    page = shown(bench, "fit-knobs")
    for name, value in (("max_length", 700), ("rank", 24)):
        slider = re.search(rf'id="fit-{name}".*?value="(\d+)" data-stops="(.*?)"', page)
        assert slider is not None
        assert json.loads(slider[2])[int(slider[1])] == value


@pytest.mark.parametrize(
    "request_", [{}, {"rank": "many"}, {"rank": 0}, {"max_length": -1}, [], None, {"rank": [1]}]
)
def test_nonsense_asked_while_sliding_is_no_error(bench: Bench, request_: object) -> None:
    assert isinstance(fit.preview(bench, request_), dict)  # type: ignore[arg-type]
    assert bench.choices() == Choices()


# ----- the way back


def test_what_was_changed_is_taken_back_whole() -> None:
    before = Choices(changes={"rank": 64})
    steps = [FitStep({"rank": 16}, "Rank 64 → 16", 10, 5)]
    after = before.with_fit("fit", 15, steps, changes={"rank": 16}, model_kind="catalogue", catalogue="a/b")
    note = after.fit_note()
    assert note is not None and note.steps == steps and note.start == 15
    assert after.without_fit() == before


def test_what_changed_since_ends_the_way_back() -> None:
    after = Choices().with_fit("fit", 15, [], changes={"rank": 16})
    later = replace(after, changes={"rank": 32})
    assert later.fit_note() is None
    assert later.without_fit().changes == {"rank": 32}


@pytest.mark.parametrize(
    "note",
    [{}, {"way": 1}, {"way": "fit", "start": "x", "steps": 3, "before": {}, "after": {}}, {"after": None}],
)
def test_a_damaged_note_is_none(note: dict[str, object]) -> None:
    assert Choices(fitted=note).fit_note() is None
    assert Choices(fitted=note).without_fit() == Choices()


# ----- a recorded 8 GB card and an 8 B model


@pytest.fixture
def garage(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench on a recorded 8 GB laptop, with an 8 B model that has no room there."""
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(PROBES / "windows_rtx_3070_ti_laptop.json"))
    changes = {"max_length": 8192, "rank": 64, "optimizer": "adamw_torch", "checkpointing": "hf"}
    bench.choose(model_kind="catalogue", catalogue="Qwen/Qwen3-8B", changes=changes)
    return bench


def test_make_it_fit_fits_and_undo_brings_everything_back(garage: Bench) -> None:
    before = garage.choices().changes
    assert scene_of(garage).fit.estimate.verdict == "no"
    assert "Use it anyway" in shown(garage, "preset-next")
    assert "saves" in shown(garage, "fit-more")
    act(garage, "preset", "make-it-fit")
    assert scene_of(garage).fit.estimate.verdict != "no"
    assert "Undo" in shown(garage, "fit-more")
    act(garage, "preset", "undo-fit")
    assert garage.choices().changes == before
    assert "Make it fit" in shown(garage, "fit-more")


def test_the_preview_changes_nothing_and_says_what_a_commit_says(garage: Bench) -> None:
    before = garage.choices()
    answer = fit.preview(garage, {"max_length": 512, "rank": 8})
    assert garage.choices() == before
    edit(garage, "preset", "max_length", "512")
    edit(garage, "preset", "rank", "8")
    assert answer["fit-shown"] in shown(garage, "fit-meter")
    assert answer["card-fit"] in frame.card(scene_of(garage))


def test_a_model_whose_shapes_nobody_knows_leaves_the_page_whole(garage: Bench) -> None:
    garage.choose(model_kind="folder", folder=str(garage.home.root / "nothing"))
    assert "Nobody knows yet" in shown(garage, "fit-meter")
    assert shown(garage, "fit-more") == shown(garage, "fit-parts") == ""
    assert "Use this recipe" in shown(garage, "preset-next")
    with pytest.raises(UserError):
        act(garage, "preset", "make-it-fit")
    act(garage, "preset", "undo-fit")


def measured_run(card: str, estimated: int, measured: int) -> Measured:
    return Measured(
        run="r1",
        day="2026-11-21",
        model="Qwen3-8B",
        parameters=8,
        card=card,
        quantization="nf4",
        checkpointing="hf",
        backend="unsloth",
        max_length=1024,
        estimated=estimated,
        measured=measured,
    )


def test_measured_runs_correct_the_meter_until_they_are_forgotten(garage: Bench) -> None:
    plain = scene_of(garage).fit.estimate
    card = scene_of(garage).place.gpu
    assert card is not None
    note_measured(garage.home, measured_run(card.name, 5 * GIB, 6 * GIB))
    assert scene_of(garage).fit.estimate.total == pytest.approx(1.2 * plain.total, rel=0.01)
    page = shown(garage, "fit-parts")
    assert "6.0 GB measured, 5.0 GB by the formula (20% more)" in page
    assert "multiplied by 1.20" in page
    act(garage, "preset", "forget-measured")
    assert read_measured(garage.home) == []
    assert scene_of(garage).fit.estimate.total == plain.total
    assert "Measured" not in shown(garage, "fit-parts")


def test_too_little_disk_or_ram_is_a_warning_and_a_base_that_is_here_needs_none(
    garage: Bench, tiny_model: Path
) -> None:
    scene = scene_of(garage)
    assert scene.fit is not None and scene.disk == scene.fit.estimate.disk
    plenty = drawn(scene, "fit-parts")
    assert "Besides: " in plenty and "lg-warn" not in plenty
    page = drawn(scene.where(place=replace(scene.place, ram=GIB, disk_free=10**9)), "fit-parts")
    assert "are needed besides, and it has 1.0 GB" in page and "and 1.0 GB are free" in page
    garage.choose(model_kind="folder", folder=str(tiny_model))
    here = scene_of(garage)
    assert here.fit is not None
    assert here.disk == here.fit.estimate.disk - (here.fit.spec.file_bytes or 0)


def test_a_scale_whose_end_is_near_its_start_keeps_both_words_apart(bench: Bench) -> None:
    assert '<span style="left:9.62%">' in drawn(with_estimate(bench, estimate(4, 40)), "fit-meter")
    assert '<span style="right:0.00%">' in drawn(with_estimate(bench, estimate(40, 4)), "fit-meter")


def test_the_recipe_is_told_before_any_data_is_chosen(garage: Bench) -> None:
    garage.choose(data_kind="path")
    assert "A small adapter of rank 64" in shown(garage, "preset-words")
    assert "QLoRA, rank 64, 4 changed" in frame.card(scene_of(garage))
    assert "No data is chosen yet" in shown(garage, "preset-next")
    assert 'href="#data">Go to Data</a>' in shown(garage, "train-panel")


# ----- machines and presets


def test_a_card_that_cannot_train_is_said_with_its_reason(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(PROBES / "linux_gtx_1080.json"))
    page = shown(bench, "preset-machine")
    assert "The GTX 1080 can’t train" in page and "compute capability 6.1" in page
    assert "The processor trains instead" in page
    assert scene_of(bench).place.gpu is None


def test_what_trains_instead_is_said_once_for_two_refused_cards(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(PROBES / "linux_rx_6600_and_ryzen_gpu.json"))
    page = shown(bench, "preset-machine")
    assert "The Radeon RX 6600 can’t train" in page and "The Radeon 610M can’t train" in page
    assert page.count("The processor trains instead") == 1


def test_what_to_type_stands_out(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    denied = json.loads((PROBES / "linux_rx_7900_xtx.json").read_text("utf-8"))
    recording = tmp_path / "denied.json"
    recording.write_text(json.dumps({**denied, "kfd_access": "denied"}))
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(recording))
    assert "<code>sudo usermod -aG render,video $USER</code>" in shown(bench, "preset-machine")


def test_of_several_cards_each_is_named_with_its_numbers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(PROBES / "linux_rtx_5080_and_4090.json"))
    page = shown(bench, "preset-machine")
    assert page.count("<dt>Graphics card</dt>") == 2
    assert "of the 2 here, the RTX 4090, which has the most memory" in page
    assert "compute capability 12.0" in page and "compute capability 8.9" in page


def test_the_matched_preset_and_its_class_come_first(garage: Bench) -> None:
    edit(garage, "preset", "preset", "cpu")
    page = shown(garage, "preset-panel")
    assert page.index("lg-preset-gpu-08gb") < page.index("lg-preset-gpu-04gb") < page.index("lg-preset-amd")
    assert "8 GB GPU · for this machine" in page
    edit(garage, "preset", "preset", "gpu-24gb")
    assert "Memory may run out" in shown(garage, "preset-panel")
    edit(garage, "preset", "preset", "amd-16gb")
    assert "made for AMD cards" in shown(garage, "preset-panel")


def test_settings_are_saved_as_a_preset_shared_and_deleted(garage: Bench) -> None:
    act(garage, "preset", "save-preset", " Pirate, 8 GB ")
    assert garage.choices().changes == {} and scene_of(garage).recipe.rank == 64
    mine = own_presets(garage.home)[0][0]
    assert scene_of(garage).preset.key == mine.key
    text = mine.to_yaml()
    act(garage, "preset", "delete-preset", mine.key)
    assert scene_of(garage).preset.key == "gpu-08gb"
    act(garage, "preset", "load-preset", {"name": "x.yaml", "text": text})
    assert scene_of(garage).recipe.rank == 64
    assert "Pirate, 8 GB" in shown(garage, "preset-own")


@pytest.mark.parametrize(
    "value", [None, "x", {}, {"text": 3}, {"text": None}, {"text": "x" * 70_000}, {"text": "title: [x"}]
)
def test_a_file_that_is_no_preset_is_refused(bench: Bench, value: object) -> None:
    with pytest.raises(UserError):
        preset.load(bench, value)
    assert own_presets(bench.home) == ([], [])


def test_a_name_that_is_taken_or_empty_is_refused(bench: Bench) -> None:
    preset.save(bench, "Mine")
    bench.choose(preset="")
    for name in ("Mine", "", "  ", "…"):
        with pytest.raises(UserError):
            preset.save(bench, name)


def test_what_a_measured_run_says(bench: Bench) -> None:
    run = measured_run("CPU", 4 * GIB, 3 * GIB)
    assert fit.measured_words(run) == "r1: 3.0 GB measured, 4.0 GB by the formula (25% less)."
