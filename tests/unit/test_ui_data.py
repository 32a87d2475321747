"""The Data step as plain functions: what is chosen and kept, what the page then shows, and what it offers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import UserError
from core.base.jobs import JobState
from core.data import Piece
from core.data.check import CheckState
from tests.ui_page import act, drawn, edit, recipe, shown
from ui.bench import Bench
from ui.charts import Histogram, histogram, nice_width, turn_counts
from ui.choices import Choices
from ui.data import ChosenData, chosen_paths
from ui.frame import card
from ui.render import render
from ui.scene import scene_of
from ui.steps.data import spans

ALPACA = {"instruction": "Say hi", "output": "Hi there"}


def bring(bench: Bench, name: str, rows: list[dict[str, Any]]) -> None:
    """A JSONL file in the home folder, chosen."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (bench.home.datasets / name).write_text(text, "utf-8")
    act(bench, "data", "uploaded", [name])


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    """Rows that differ in more than a number: no near-duplicates."""
    text = "ant bear cat dog eel fox gnu hen ibis jay koala lynx mole newt owl pig quail rat seal toad"
    words = text.split()
    return [
        {
            "instruction": " ".join(words[(n * k) % 20] for k in range(1, 8)) + f" {n}?",
            "output": " ".join(words[(n + k * k) % 20] for k in range(9)) + ".",
            **more,
        }
        for n in range(count)
    ]


# ----- which rows are held out


def test_held_out_rows_are_set_here_and_said_everywhere(bench: Bench) -> None:
    bring(bench, "mine.jsonl", rows(40))
    said = shown(bench, "data-heldout", "preset-words", "train-panel")
    assert said.count("4 train, 16 held out") == 3 and "5 % would be 2" in said
    assert "24 train, 16 held out" in card(scene_of(bench))
    edit(bench, "data", "held-share", "45 %")
    assert recipe(bench).heldout_share == 0.45 and "22 train, 18 held out" in shown(bench, "data-heldout")
    with pytest.raises(UserError, match="at most 50 %"):
        edit(bench, "data", "held-share", "60")
    edit(bench, "data", "held", "none")
    assert recipe(bench).heldout_share == 0 and "Nothing will show whether" in shown(bench, "data-heldout")
    (bench.home.datasets / "other.jsonl").write_text(json.dumps(ALPACA), "utf-8")
    edit(bench, "data", "held", "file")
    assert recipe(bench).heldout is None and "Until a file is named" in shown(bench, "data-heldout")
    edit(bench, "data", "held-file", str(bench.home.datasets / "other.jsonl"))
    assert "40 train, 1 held out" in shown(bench, "data-heldout")
    bring(bench, "more.jsonl", rows(30))
    assert recipe(bench).heldout is None, "what was said is remembered for each data"
    edit(bench, "data", "data", "sample")
    assert "134 train, 26 held out" in shown(bench, "data-heldout")


def test_what_an_earlier_version_kept_among_the_settings_holds(bench: Bench) -> None:
    bring(bench, "mine.jsonl", rows(40))
    bench.choose(changes={"heldout_share": 0.45, "rank": 8})
    assert "22 train, 18 held out" in shown(bench, "data-heldout")
    edit(bench, "data", "held", "share")
    assert bench.choices().changes == {"rank": 8} and recipe(bench).heldout_share == 0.05


def test_files_that_are_splits_are_told_and_can_all_be_trained(bench: Bench, tmp_path: Path) -> None:
    data = rows(40)
    for name, part in (("train", data[:30]), ("valid", data[30:36]), ("test", data[36:])):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, part)), "utf-8")
    edit(bench, "data", "path", str(tmp_path))
    page = " ".join(shown(bench, "data-heldout").split())
    assert "30 train, 6 held out" in page
    for file, role, count in (("train", "Trained", 30), ("valid", "Held out", 6), ("test", "Left aside", 4)):
        assert f"<td>{file}.jsonl</td><td>{role}</td><td>{count}</td>" in page
    edit(bench, "data", "all-files", True)
    assert "24 train, 16 held out" in shown(bench, "data-heldout") and not recipe(bench).splits
    edit(bench, "data", "all-files", False)
    edit(bench, "data", "held", "none")
    assert "No row is held out." in shown(bench, "data-heldout")
    edit(bench, "data", "held", "names")
    assert "30 train, 6 held out" in shown(bench, "data-heldout")


# ----- the choice


def test_the_sample_is_recognised_with_its_first_rows(bench: Bench) -> None:
    assert "Recognised: a chat in every row" in shown(bench, "data-state")
    assert '<table id="data-table">' in shown(bench, "data-first")
    assert 'href="#preset"' in shown(bench, "data-onward")


def test_several_files_are_one_data(bench: Bench) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (bench.home.datasets / name).write_text(json.dumps({**ALPACA, "n": name}) + "\n")
    act(bench, "data", "uploaded", ["a.jsonl"])
    edit(bench, "data", "file:b.jsonl", True)
    assert [path.name for path in chosen_paths(bench, bench.choices())] == ["a.jsonl", "b.jsonl"]
    assert len(recipe(bench).data) == 2
    edit(bench, "data", "file:a.jsonl", False)
    assert bench.choices().files == ["b.jsonl"]


def test_a_path_is_read_in_place(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows(30)))
    edit(bench, "data", "path", f'"{file}"')
    assert "can be used" in shown(bench, "data-state")
    assert recipe(bench).data == [str(file)]
    assert list(bench.home.datasets.glob("*.jsonl")) == []


def test_a_path_to_nothing_closes_the_way_on(bench: Bench, tmp_path: Path) -> None:
    edit(bench, "data", "path", str(tmp_path / "gone.csv"))
    assert "can’t be read" in shown(bench, "data-state")
    assert 'id="lg-next-data" class="lg-primary" disabled' in shown(bench, "data-onward")


def test_a_data_set_of_the_hub_waits_for_its_download(bench: Bench) -> None:
    edit(bench, "data", "data-hub", "https://hub.example/datasets/owner/pirates")
    assert 'id="data-download"' in shown(bench, "data-picked")
    assert "Download the data first" in shown(bench, "data-onward")
    with pytest.raises(UserError, match="No data is chosen"):
        recipe(bench)
    folder = bench.home.datasets / "owner--pirates"
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(30)))
    assert "can be used" in shown(bench, "data-state")
    assert recipe(bench).data == [str(folder)]


def test_a_file_outside_the_home_folder_is_never_a_brought_one(bench: Bench) -> None:
    bench.choose(files=["../../etc/passwd"], data_kind="file")
    with pytest.raises(UserError):
        chosen_paths(bench, bench.choices())


@pytest.mark.parametrize("nonsense", [{"sample": 3}, {"sample": ["no such kind", 7]}, {"sample": None}])
def test_damaged_choices_about_data_say_nothing(nonsense: dict[str, Any]) -> None:
    choices = Choices(columns=nonsense, fixes=nonsense)
    assert choices.mapping == {}
    assert choices.taken == []


# ----- the check


def test_a_broken_file_closes_the_way_on_and_says_where(bench: Bench) -> None:
    bring(bench, "bad.jsonl", rows(30))
    (bench.home.datasets / "bad.jsonl").write_text('{"instruction": "x"\n')
    assert "can’t be used" in shown(bench, "data-state")
    assert 'id="lg-next-data" class="lg-primary" disabled' in shown(bench, "data-onward")


def state_panel(bench: Bench, job: JobState) -> str:
    state = CheckState(job, None, None, None, missing=True, asked=True)
    return drawn(scene_of(bench).where(data=ChosenData(state=state)), "data-state")


def test_a_running_check_says_how_fast_and_can_be_cancelled(bench: Bench) -> None:
    fields = {"rows": 50_000, "rows_per_s": 25_000, "bytes": 100, "total": 400}
    job = JobState("running", stage="reading", progress=0.25, fields=fields)
    page = state_panel(bench, job)
    assert "50,000 rows so far, 25,000 rows/s, 6 s left" in page
    assert 'data-act="cancel"' in page


@pytest.mark.parametrize(("status", "words"), [("stopped", "was stopped"), ("died", "has failed")])
def test_an_ended_check_offers_another(bench: Bench, status: Any, words: str) -> None:
    page = state_panel(bench, JobState(status, "It is gone."))
    assert words in page
    assert 'data-act="check"' in page


def test_rows_with_markup_are_shown_as_text(bench: Bench) -> None:
    evil = "<img src=x onerror=alert(1)>${1+1}"
    bring(bench, "x.jsonl", [{**row, "instruction": evil, evil: evil} for row in rows(30)])
    page = shown(bench, "data-state", "data-mapping", "data-found", "data-first")
    assert "&lt;img src=x" in page
    assert "<img" not in page


# ----- columns


def odd_csv(bench: Bench) -> None:
    with open(bench.home.datasets / "odd.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ref", "Texte A", "Texte B"])
        for number, row in enumerate(rows(30)):
            writer.writerow([number, row["instruction"], row["output"] + " And so on, at some length."])
    act(bench, "data", "uploaded", ["odd.csv"])


def test_columns_that_mean_nothing_are_mapped_and_remembered(bench: Bench) -> None:
    odd_csv(bench)
    assert "What are the columns?" in shown(bench, "data-state")
    assert "Read it this way" in shown(bench, "data-mapping")
    for column, role in (("ref", "ignore"), ("Texte A", "user"), ("Texte B", "assistant")):
        edit(bench, "data", f"column:{column}", role)
    act(bench, "data", "map")
    assert recipe(bench).columns == {"ref": "ignore", "Texte A": "user", "Texte B": "assistant"}
    assert "can be used" in shown(bench, "data-state")
    assert "set by you" in shown(bench, "data-mapping")
    again = Bench(bench.home)
    assert again.choices().mapping["Texte B"] == "assistant"
    act(bench, "data", "unmap")
    assert bench.choices().mapping == {}


def test_a_mapping_without_an_answer_is_refused(bench: Bench) -> None:
    odd_csv(bench)
    for column in ("Texte A", "Texte B"):
        edit(bench, "data", f"column:{column}", "user")
    with pytest.raises(UserError, match="answer"):
        act(bench, "data", "map")
    assert bench.choices().mapping == {}


# ----- problems and fixes


def test_a_fix_is_taken_and_taken_back(bench: Bench) -> None:
    mail = {"instruction": "Where do I write to?", "output": "To anna.smith@mail.example.com, any day."}
    bring(bench, "mail.jsonl", [*rows(30), mail, mail])
    page = shown(bench, "data-found")
    assert 'id="fix-e-mail-addresses"' in page
    assert "Mask them" in page
    act(bench, "data", "take", "e-mail addresses")
    act(bench, "data", "take", "duplicates")
    assert recipe(bench).fixes == ["e-mail addresses", "duplicates"]
    assert shown(bench, "data-found").count("Take it back") == 2
    assert scene_of(bench).data.report.rows_usable == 31
    act(bench, "data", "untake", "duplicates")
    assert bench.choices().taken == ["e-mail addresses"]


def test_a_row_is_shown_as_the_fixes_leave_it(bench: Bench, tiny_model: Path) -> None:
    bench.choose(model_kind="folder", folder=str(tiny_model))
    mail = {"instruction": "Where do I write to?", "output": "To anna.smith@mail.example.com, any day."}
    bring(bench, "mail.jsonl", [*rows(30), mail, mail])
    act(bench, "data", "show", "31")
    assert "anna.smith" in shown(bench, "data-sight")
    act(bench, "data", "take", "e-mail addresses")
    act(bench, "data", "take", "duplicates")
    page = shown(bench, "data-sight")
    assert "anna.smith" not in page
    assert "Changed by your fixes: e-mail addresses." in page
    assert "left out: you took the fix for duplicates" in page


def test_errors_stand_first_and_places_are_buttons(bench: Bench) -> None:
    twice = {"instruction": "What is twice here?", "output": "This row {{ name }} is, in all its words."}
    text = "".join(json.dumps(row) + "\n" for row in [*rows(30), twice, twice])
    (bench.home.datasets / "x.jsonl").write_text(text + "{broken\n")
    act(bench, "data", "uploaded", ["x.jsonl"])
    page = shown(bench, "data-found")
    order = [page.index(f"</span> {word}</span>") for word in ("Error", "Warning", "Note")]
    assert order == sorted(order)
    assert 'data-act="show" data-value="31"' in page
    assert 'id="problem-duplicates-31"' in page


# ----- the preview


@pytest.mark.parametrize("typed", ["", "x", "-3", "1.5"])
def test_a_row_number_must_be_one(bench: Bench, typed: str) -> None:
    with pytest.raises(UserError, match="no row number"):
        edit(bench, "data", "row", typed)


def test_the_row_in_sight_stays_within_the_data(bench: Bench) -> None:
    total = scene_of(bench).data.rows
    act(bench, "data", "previous-row")
    assert bench.row == 0
    edit(bench, "data", "row", "1,000,000")
    assert bench.row == total - 1
    act(bench, "data", "next-row")
    assert bench.row == total - 1
    act(bench, "data", "random-row")
    assert bench.row != total - 1


def test_the_worst_rows_come_one_after_the_other(bench: Bench) -> None:
    bad = {"instruction": "Ask a@b.example or", "output": "c@d.example​, write {{ name }} there."}
    bring(bench, "worst.jsonl", [*rows(10), {**ALPACA, "extra": "1"}, *rows(3), bad])
    seen = []
    for _ in range(2):
        act(bench, "data", "worst-row")
        seen.append(bench.row)
    assert seen[0] == 14
    assert seen[1] != 14


def test_trained_tokens_are_marked(bench: Bench, tiny_model: Path) -> None:
    bench.choose(model_kind="folder", folder=str(tiny_model))
    bring(bench, "x.jsonl", [{"instruction": "Hello", "output": "Arr!"}, *rows(2)])
    page = shown(bench, "data-sight")
    assert '<span class="t">Arr!</span>' in page
    assert '<span class="t s">&lt;|im_end|&gt;</span>' in page
    assert "of 3" in page


def test_equal_neighbours_become_one_span() -> None:
    pieces = [
        Piece("a", 1, True, False, False),
        Piece("b", 2, True, False, False),
        Piece("<c>", 3, False, False, True),
    ]
    assert spans(pieces) == [("t", "ab"), ("c", "<c>")]


def test_a_row_of_a_whole_book_is_shown_in_part() -> None:
    ((_, text),) = spans([Piece("word ", 1, True, False, False)] * 12_345)
    assert text.count("word ") == 10_000


def test_a_chat_template_is_chosen_for_each_model(bench: Bench) -> None:
    edit(bench, "data", "template", "vicuna")
    assert recipe(bench).chat_template == "vicuna"
    bench.choose(model_kind="folder", folder="/another")
    assert scene_of(bench).recipe.chat_template == "auto"


# ----- numbers


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=300), st.integers(16, 8000))
@settings(max_examples=50, deadline=None)
def test_every_row_stands_in_one_bar(lengths: list[int], limit: int) -> None:
    found = histogram(np.array(lengths), limit)
    assert sum(found.counts) + found.beyond == len(lengths)
    assert len(found.counts) <= 34
    for place, number in enumerate(found.counts):
        assert number == sum(place * found.width < length <= (place + 1) * found.width for length in lengths)


@given(st.floats(0.01, 1e6))
@settings(max_examples=50)
def test_a_nice_width_is_wide_enough(rough: float) -> None:
    assert rough <= nice_width(rough) + 1e-6
    assert nice_width(rough) <= max(1, 2.6 * rough + 1)


def lengths_html(bars: Histogram, limit: int) -> str:
    return render("data/histogram.html", bars=bars, limit=limit, summary="")


def test_the_maximum_is_drawn_or_said() -> None:
    lengths = np.array([50, 60, 100])
    assert 'class="lg-limit lg-left" style="left:' in lengths_html(histogram(lengths, 80), 80)
    assert "maximum 1,024 →" in lengths_html(histogram(lengths, 1024), 1024)


def test_a_maximum_that_cuts_every_answer_away_leads_to_a_longer_one(bench: Bench, tiny_model: Path) -> None:
    bench.choose(model_kind="folder", folder=str(tiny_model), changes={"max_length": 16})
    bring(bench, "n.jsonl", rows(30))
    assert "Take the suggested maximum length" in shown(bench, "data-onward")
    act(bench, "data", "length")
    assert 'href="#preset"' in shown(bench, "data-onward")


def test_many_sizes_stand_together() -> None:
    assert turn_counts(np.array([2, 2, 2], np.uint16)) == [("2", 3)]
    assert turn_counts(np.arange(1, 20, dtype=np.uint16))[-1] == ("6 or more", 14)


def test_numbers_say_steps_time_and_a_better_length(bench: Bench, tiny_model: Path) -> None:
    bench.choose(model_kind="folder", folder=str(tiny_model))
    bring(bench, "n.jsonl", rows(60))
    page = shown(bench, "data-measured")
    assert "Measured on all 60 rows" in page
    assert "This recipe takes" in page
    assert "A guess (" in page
    suggested = scene_of(bench).data.report.suggested_max_length
    act(bench, "data", "length")
    assert recipe(bench).max_length == suggested
    assert f"Set it to {suggested}" not in shown(bench, "data-measured")


def test_measuring_all_is_another_question(bench: Bench, tiny_model: Path) -> None:
    bench.choose(model_kind="folder", folder=str(tiny_model))
    assert not scene_of(bench).data.question.exact
    act(bench, "data", "measure")
    assert scene_of(bench).data.question.exact
    act(bench, "data", "stop-measuring")
    assert not scene_of(bench).data.question.exact
