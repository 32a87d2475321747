"""The fit meter as plain functions: what it says for an estimate, what its buttons change and take back."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.base.home import Home
from core.fit import MemoryEstimate, Term
from core.fit.measured import Measured, note_measured, read_measured
from core.machine import GIB
from core.presets import own_presets
from ui import fit_learned, fit_views, frame, preset, preset_cards, preset_machine, preset_own, train
from ui.bench import Bench
from ui.choices import Choices
from ui.fit import fit_of
from ui.fit_bar import bar_html, pieces, scale_html, table_html
from ui.fit_knobs import knobs_html, stops
from ui.fit_steps import take_steps, undo_steps
from ui.fit_words import largest_words, memory, of_memory, room_words, verdict_html
from ui.fitted import Fitted, Noted, fitted, unfitted

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


@pytest.fixture
def bench(home: Home) -> Bench:
    return Bench(home)


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
def test_the_bar_never_leaves_its_box_and_the_table_names_every_part(
    sizes: list[float], usable: float, correction: float
) -> None:
    made = estimate(usable, *sizes, correction=correction)
    widths = [float(width) for width in re.findall(r"width:([\d.]+)%", bar_html(made))]
    assert sum(widths) <= 100.1
    assert ("<i " in bar_html(made)) == (made.total > made.usable)
    table = table_html(made)
    assert table.count('scope="row"') + table.count("scope='row'") == len(pieces(made))
    assert f"<td>{memory(made.total)}</td>" in table


def test_the_parts_stand_in_families_with_shades_of_their_own() -> None:
    made = pieces(estimate(24, 5, 1, 0.1, 0.1, 0.2, 3, 1, 0.5))
    assert [piece.style for piece in made][:3] == [
        "lg-part-model lg-shade-0",
        "lg-part-model lg-shade-1",
        "lg-part-adapter lg-shade-0",
    ]
    assert len({piece.style for piece in made}) == len(made)


def test_one_sentence_says_what_dominates() -> None:
    most = estimate(8, 5, 0.5)
    assert largest_words(most, packed=False).startswith("Most of it is the weights: 5.0 GB, 91%.")
    assert "4 bits already" in largest_words(most, packed=True)
    assert "4 bits would not help" in largest_words(most, packed=False, packing_helps=False)
    assert "Shorter rows" in largest_words(estimate(8, 1, 1, 0, 0, 0, 1.5), packed=True)
    assert largest_words(estimate(8), packed=False) == "Nothing is known about the memory of this model."


def test_the_verdict_is_a_sign_and_a_word() -> None:
    for size, words in ((5, "✓</span> Fits"), (7.5, "!</span> Tight"), (9, "✗</span> Doesn’t fit")):
        assert words in verdict_html(estimate(8, size).verdict)
    assert room_words(estimate(8, 9)) == "1.0 GB too much"
    assert room_words(estimate(8, 5)) == "3.0 GB to spare"


def test_a_title_from_elsewhere_is_only_text() -> None:
    made = replace(estimate(8), terms=(Term("x", GIB, "<b>", '"><script>'),))
    assert "<script>" not in table_html(made) + bar_html(made)


# ----- sliders


def test_a_value_between_the_stops_becomes_one() -> None:
    assert stops((4, 8, 16), 12) == [4, 8, 12, 16]
    assert stops((4, 8, 16), 8) == [4, 8, 16]


def test_the_sliders_stand_where_the_recipe_is(bench: Bench) -> None:
    recipe = bench.recipe_so_far().with_changes(max_length=700, rank=24)
    page = knobs_html(recipe, None, None)
    for name, value in (("max_length", 700), ("rank", 24)):
        found = re.search(rf'id="fit-{name}".*?value="(\d+)" data-stops=\'(.*?)\'', page)
        assert found is not None
        assert json.loads(found[2])[int(found[1])] == value


@pytest.mark.parametrize(
    "request_", [{}, {"rank": "many"}, {"rank": 0}, {"max_length": -1}, [], None, {"rank": [1]}]
)
def test_nonsense_asked_while_sliding_is_no_error(bench: Bench, request_: object) -> None:
    assert isinstance(fit_views.preview(bench, request_), dict)  # type: ignore[arg-type]
    assert bench.choices() == Choices()


# ----- the way back


def test_what_was_changed_is_taken_back_whole() -> None:
    before = Choices(changes={"rank": 64})
    steps = [Noted("Rank 64 → 16", 5, 10)]
    after = fitted(before, "fit", 15, steps, changes={"rank": 16}, model_kind="catalogue", catalogue="a/b")
    note = Fitted.of(after)
    assert note is not None and note.steps == steps and note.start == 15
    assert unfitted(after) == before


def test_what_changed_since_ends_the_way_back() -> None:
    after = fitted(Choices(), "fit", 15, [], changes={"rank": 16})
    later = replace(after, changes={"rank": 32})
    assert Fitted.of(later) is None
    assert unfitted(later).changes == {"rank": 32}


@pytest.mark.parametrize(
    "note",
    [{}, {"way": 1}, {"way": "fit", "start": "x", "steps": 3, "before": {}, "after": {}}, {"after": None}],
)
def test_a_damaged_note_is_none(note: dict[str, object]) -> None:
    assert Fitted.of(Choices(fitted=note)) is None
    assert unfitted(Choices(fitted=note)) == Choices()


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
    assert fit_of(garage).estimate.verdict == "no"
    assert "Use it anyway" in preset.next_html(garage)
    assert "saves" in fit_views.more_view(garage)
    preset.on_act(garage, "make-it-fit", "")
    assert fit_of(garage).estimate.verdict != "no"
    assert "Undo" in fit_views.more_view(garage)
    preset.on_act(garage, "undo-fit", "")
    assert garage.choices().changes == before
    assert "Make it fit" in fit_views.more_view(garage)


def test_the_preview_changes_nothing_and_says_what_a_commit_says(garage: Bench) -> None:
    before = garage.choices()
    told = fit_views.preview(garage, {"max_length": 512, "rank": 8})
    assert garage.choices() == before
    preset.on_edit(garage, "max_length", "512")
    preset.on_edit(garage, "rank", "8")
    assert told["fit-shown"] in fit_views.meter_view(garage)
    assert told["card-fit"] in frame.card_html(garage)


def test_a_model_whose_shapes_nobody_knows_leaves_the_page_whole(garage: Bench) -> None:
    garage.choose(model_kind="folder", folder=str(garage.home.root / "nothing"))
    assert "Nobody knows yet" in fit_views.meter_view(garage)
    assert fit_views.more_view(garage) == fit_views.parts_view(garage) == fit_views.card_fit(garage) == ""
    assert "Use this recipe" in preset.next_html(garage)
    with pytest.raises(UserError):
        take_steps(garage, "fit")
    undo_steps(garage)


def test_measured_runs_correct_the_meter_until_they_are_forgotten(garage: Bench) -> None:
    plain = fit_of(garage).estimate
    card = fit_of(garage).place.gpu
    assert card is not None
    entry = Measured(
        "r1", "2026-11-21", "Qwen3-8B", 8, card.name, "nf4", "hf", "unsloth", 1024, 5 * GIB, 6 * GIB
    )
    note_measured(garage.home, entry)
    garage.desk.forget()
    assert fit_of(garage).estimate.total == pytest.approx(1.2 * plain.total, rel=0.01)
    page = fit_views.parts_view(garage)
    assert "6.0 GB measured, 5.0 GB by the formula (20% more)" in page
    assert "multiplied by 1.20" in page
    preset.on_act(garage, "forget-measured", "")
    assert read_measured(garage.home) == []
    assert fit_of(garage).estimate.total == plain.total
    assert "Measured" not in fit_views.parts_view(garage)


def test_too_little_disk_or_ram_is_a_warning_and_a_base_that_is_here_needs_none(
    garage: Bench, tiny_model: Path
) -> None:
    fit = fit_of(garage)
    assert fit.disk == fit.estimate.disk
    plenty = fit_views.else_html(fit)
    assert "Besides: " in plenty and "lg-warn" not in plenty
    poor = replace(fit, place=replace(fit.place, ram=GIB, disk_free=10**9))
    page = fit_views.else_html(poor)
    assert "are needed besides, and it has 1.0 GB" in page and "and 1.0 GB are free" in page
    garage.choose(model_kind="folder", folder=str(tiny_model))
    here = fit_of(garage)
    assert here.disk == here.estimate.disk - here.spec.file_bytes


def test_a_scale_whose_end_is_near_its_start_keeps_both_words_apart() -> None:
    assert "left:9.62%" in scale_html(estimate(4, 40))
    assert "right:0.00%" in scale_html(estimate(40, 4))


def test_the_recipe_is_told_before_any_data_is_chosen(garage: Bench) -> None:
    garage.choose(data_kind="path")
    assert "A small adapter of rank 64" in preset.words_html(garage)
    assert "QLoRA, rank 64, 4 changed" in frame.card_html(garage)
    assert "No data is chosen yet" in preset.next_html(garage)
    assert 'href="#data">Go to Data</a>' in train.top_html(garage)


# ----- machines and presets


def test_a_card_that_cannot_train_is_said_with_its_reason(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(PROBES / "linux_gtx_1080.json"))
    page = preset_machine.machine_html(bench)
    assert "The GTX 1080 can’t train" in page and "compute capability 6.1" in page
    assert "The processor trains instead" in page
    assert bench.place().gpu is None


def test_what_trains_instead_is_said_once_for_two_refused_cards(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(PROBES / "linux_rx_6600_and_ryzen_gpu.json"))
    page = preset_machine.machine_html(bench)
    assert "The Radeon RX 6600 can’t train" in page and "The Radeon 610M can’t train" in page
    assert page.count("The processor trains instead") == 1


def test_what_to_type_stands_out(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    denied = json.loads((PROBES / "linux_rx_7900_xtx.json").read_text("utf-8"))
    recording = tmp_path / "denied.json"
    recording.write_text(json.dumps({**denied, "kfd_access": "denied"}))
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(recording))
    assert "<code>sudo usermod -aG render,video $USER</code>" in preset_machine.machine_html(bench)


def test_of_several_cards_each_is_named_with_its_numbers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(PROBES / "linux_rtx_5080_and_4090.json"))
    page = preset_machine.machine_html(bench)
    assert page.count("<dt>Graphics card</dt>") == 2
    assert "of the 2 here, the RTX 4090, which has the most memory" in page
    assert "compute capability 12.0" in page and "compute capability 8.9" in page


def test_the_matched_preset_and_its_class_come_first(garage: Bench) -> None:
    preset.on_edit(garage, "preset", "cpu")
    page = preset_cards.cards_html(garage)
    assert page.index("lg-preset-gpu-08gb") < page.index("lg-preset-gpu-04gb") < page.index("lg-preset-amd")
    assert "8 GB GPU · for this machine" in page
    preset.on_edit(garage, "preset", "gpu-24gb")
    assert "Memory may run out" in preset_cards.cards_html(garage)
    preset.on_edit(garage, "preset", "amd-16gb")
    assert "made for AMD cards" in preset_cards.cards_html(garage)


def test_settings_are_saved_as_a_preset_shared_and_deleted(garage: Bench) -> None:
    preset.on_act(garage, "save-preset", " Pirate, 8 GB ")
    assert garage.choices().changes == {} and garage.recipe_so_far().rank == 64
    mine = own_presets(garage.home)[0][0]
    assert garage.preset()[0].key == mine.key
    text = mine.to_yaml()
    preset.on_act(garage, "delete-preset", mine.key)
    assert garage.preset()[0].key == "gpu-08gb"
    preset.on_act(garage, "load-preset", {"name": "x.yaml", "text": text})
    assert garage.recipe_so_far().rank == 64
    assert "Pirate, 8 GB" in preset_own.own_html(garage)


@pytest.mark.parametrize(
    "value", [None, "x", {}, {"text": 3}, {"text": None}, {"text": "x" * 70_000}, {"text": "title: [x"}]
)
def test_a_file_that_is_no_preset_is_refused(bench: Bench, value: object) -> None:
    with pytest.raises(UserError):
        preset_own.load(bench, value)
    assert own_presets(bench.home) == ([], [])


def test_a_name_that_is_taken_or_empty_is_refused(bench: Bench) -> None:
    preset_own.save(bench, "Mine")
    bench.choose(preset="")
    for name in ("Mine", "", "  ", "…"):
        with pytest.raises(UserError):
            preset_own.save(bench, name)


def test_what_a_measured_run_says(bench: Bench) -> None:
    run = Measured("r", "", "m", 1, "CPU", "none", "none", "peft", 512, 4 * GIB, 3 * GIB)
    assert fit_learned.measured_words(run) == "r: 3.0 GB measured, 4.0 GB by the formula (25% less)."
