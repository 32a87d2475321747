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
from core.base.home import Home
from core.base.jobs import JobState
from core.data import ChatTokenizer, Piece
from core.data.check import CheckState, ensure_store, ensure_tokens
from core.data.template import TEMPLATES
from ui import data
from ui.bench import Bench
from ui.choices import Choices
from ui.data_check import state_html
from ui.data_look import look, question
from ui.data_plots import histogram, lengths_html, nice_width, turns_html
from ui.data_preview import Shown, preview_html, templates_html, tokens_html
from ui.data_problems import Entry, Place, problems_html

ALPACA = {"instruction": "Say hi", "output": "Hi there"}


@pytest.fixture
def bench(home: Home) -> Bench:
    return Bench(home)


def bring(bench: Bench, name: str, rows: list[dict[str, Any]]) -> None:
    """A JSONL file in the home folder, chosen and checked (in this process, without a job)."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (bench.home.datasets / name).write_text(text, "utf-8")
    data.on_act(bench, "uploaded", [name])
    check(bench)


def check(bench: Bench) -> None:
    asked = question(bench)
    store = ensure_store(bench.home, asked.paths, asked.columns)
    if asked.heldout is not None:
        ensure_store(bench.home, [asked.heldout], asked.columns)
    ensure_tokens(bench.home, asked, store)


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


# ----- the choice


def test_the_sample_is_recognised_with_its_first_rows(bench: Bench) -> None:
    check(bench)
    assert "Recognised: a chat in every row" in data.state_view(bench)
    assert '<table id="data-table">' in data.first_view(bench)
    assert 'href="#preset"' in data.next_view(bench)


def test_several_files_are_one_data(bench: Bench) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (bench.home.datasets / name).write_text(json.dumps({**ALPACA, "n": name}) + "\n")
    data.on_act(bench, "uploaded", ["a.jsonl"])
    data.on_edit(bench, "file:b.jsonl", True)
    assert [path.name for path in bench.data_paths()] == ["a.jsonl", "b.jsonl"]
    assert len(bench.recipe().data) == 2
    data.on_edit(bench, "file:a.jsonl", False)
    assert bench.choices().files == ["b.jsonl"]


def test_a_path_is_read_in_place(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows(30)))
    data.on_edit(bench, "path", f'"{file}"')
    check(bench)
    assert "can be used" in data.state_view(bench)
    assert bench.recipe().data == [str(file)]
    assert list(bench.home.datasets.glob("*.jsonl")) == []


def test_a_path_to_nothing_closes_the_way_on(bench: Bench, tmp_path: Path) -> None:
    data.on_edit(bench, "path", str(tmp_path / "gone.csv"))
    assert "can’t be read" in data.state_view(bench)
    assert 'id="lg-next-data" class="lg-primary" disabled' in data.next_view(bench)


def test_a_data_set_of_the_hub_waits_for_its_download(bench: Bench) -> None:
    data.on_edit(bench, "data-hub", "https://hub.example/datasets/owner/pirates")
    assert 'id="data-download"' in data.data_files.picked_html(bench)
    assert "Download the data first" in data.next_view(bench)
    with pytest.raises(UserError, match="No data is chosen"):
        bench.recipe()
    folder = bench.home.datasets / "owner--pirates"
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(30)))
    check(bench)
    assert "can be used" in data.state_view(bench)
    assert bench.recipe().data == [str(folder)]


def test_a_file_outside_the_home_folder_is_never_a_brought_one(bench: Bench) -> None:
    bench.choose(files=["../../etc/passwd"], data_kind="file")
    with pytest.raises(UserError):
        bench.data_paths()


@pytest.mark.parametrize("nonsense", [{"sample": 3}, {"sample": ["no such kind", 7]}, {"sample": None}])
def test_damaged_choices_about_data_say_nothing(nonsense: dict[str, Any]) -> None:
    choices = Choices(columns=nonsense, fixes=nonsense)
    assert choices.mapping == {}
    assert choices.taken == []


# ----- the check


def test_a_broken_file_closes_the_way_on_and_says_where(bench: Bench) -> None:
    bring(bench, "bad.jsonl", rows(30))
    (bench.home.datasets / "bad.jsonl").write_text('{"instruction": "x"\n')
    check(bench)
    assert "can’t be used" in data.state_view(bench)
    assert 'id="lg-next-data" class="lg-primary" disabled' in data.next_view(bench)


def test_a_running_check_says_how_fast_and_can_be_cancelled() -> None:
    fields = {"rows": 50_000, "rows_per_s": 25_000, "bytes": 100, "total": 400}
    job = JobState("running", stage="reading", progress=0.25, fields=fields)
    page = state_html(CheckState(job, None, None, None, missing=True, asked=True), None)
    assert "50,000 rows so far, 25,000 rows/s, 6 s left" in page
    assert 'data-act="cancel"' in page


@pytest.mark.parametrize(("status", "words"), [("stopped", "was stopped"), ("died", "has failed")])
def test_an_ended_check_offers_another(status: Any, words: str) -> None:
    state = CheckState(JobState(status, "It is gone."), None, None, None, missing=True, asked=True)
    page = state_html(state, None)
    assert words in page
    assert 'data-act="check"' in page


def test_rows_with_markup_are_shown_as_text(bench: Bench) -> None:
    evil = "<img src=x onerror=alert(1)>${1+1}"
    bring(bench, "x.jsonl", [{**row, "instruction": evil, evil: evil} for row in rows(30)])
    page = "".join(
        view(bench) for view in (data.state_view, data.mapping_view, data.found_view, data.first_view)
    )
    assert "&lt;img src=x" in page
    assert "<img" not in page


# ----- columns


def odd_csv(bench: Bench) -> None:
    with open(bench.home.datasets / "odd.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ref", "Texte A", "Texte B"])
        for number, row in enumerate(rows(30)):
            writer.writerow([number, row["instruction"], row["output"] + " And so on, at some length."])
    data.on_act(bench, "uploaded", ["odd.csv"])
    check(bench)


def test_columns_that_mean_nothing_are_mapped_and_remembered(bench: Bench) -> None:
    odd_csv(bench)
    assert "What are the columns?" in data.state_view(bench)
    assert "Read it this way" in data.mapping_view(bench)
    for column, role in (("ref", "ignore"), ("Texte A", "user"), ("Texte B", "assistant")):
        data.on_edit(bench, f"column:{column}", role)
    data.on_act(bench, "map", "")
    check(bench)
    assert bench.recipe().columns == {"ref": "ignore", "Texte A": "user", "Texte B": "assistant"}
    assert "can be used" in data.state_view(bench)
    assert "set by you" in data.mapping_view(bench)
    again = Bench(bench.home)
    assert again.choices().mapping["Texte B"] == "assistant"
    data.on_act(bench, "unmap", "")
    assert bench.choices().mapping == {}


def test_a_mapping_without_an_answer_is_refused(bench: Bench) -> None:
    odd_csv(bench)
    for column in ("Texte A", "Texte B"):
        data.on_edit(bench, f"column:{column}", "user")
    with pytest.raises(UserError, match="answer"):
        data.on_act(bench, "map", "")
    assert bench.choices().mapping == {}


# ----- problems and fixes


def test_a_fix_is_taken_and_taken_back(bench: Bench) -> None:
    mail = {"instruction": "Where do I write to?", "output": "To anna.smith@mail.example.com, any day."}
    bring(bench, "mail.jsonl", [*rows(30), mail, mail])
    page = data.found_view(bench)
    assert 'id="fix-e-mail-addresses"' in page
    assert "Mask them" in page
    data.on_act(bench, "take", "e-mail addresses")
    data.on_act(bench, "take", "duplicates")
    assert bench.recipe().fixes == ["e-mail addresses", "duplicates"]
    assert data.found_view(bench).count("Take it back") == 2
    assert look(bench).report.rows_usable == 31
    data.on_act(bench, "untake", "duplicates")
    assert bench.choices().taken == ["e-mail addresses"]


def test_a_row_is_shown_as_the_fixes_leave_it(bench: Bench, tiny_model: Path) -> None:
    bench.choose(model_kind="folder", folder=str(tiny_model))
    mail = {"instruction": "Where do I write to?", "output": "To anna.smith@mail.example.com, any day."}
    bring(bench, "mail.jsonl", [*rows(30), mail, mail])
    data.on_act(bench, "show", "31")
    assert "anna.smith" in data.row_view(bench)
    data.on_act(bench, "take", "e-mail addresses")
    data.on_act(bench, "take", "duplicates")
    page = data.row_view(bench)
    assert "anna.smith" not in page
    assert "Changed by your fixes: e-mail addresses." in page
    assert "left out: you took the fix for duplicates" in page


def test_errors_stand_first_and_places_are_buttons() -> None:
    entries = [
        Entry("template braces", "note", 9, "9 rows hold braces."),
        Entry(
            "duplicates", "warning", 2, "2 rows stand twice.", "Keep one", [Place("line 4", "as line 1", 3)]
        ),
        Entry("unreadable row", "error", 1, "Line 7 is broken.", "Leave out", [Place("line 7")]),
    ]
    page = problems_html(entries, [])
    order = [page.index(words) for words in ("Error", "Warning", "Note")]
    assert order == sorted(order)
    assert 'data-act="show" data-value="3"' in page
    assert page.count('class="lg-place"') == 1
    assert "Take it back" in problems_html(entries, ["duplicates"])


# ----- the preview


@pytest.mark.parametrize("typed", ["", "x", "-3", "1.5"])
def test_a_row_number_must_be_one(bench: Bench, typed: str) -> None:
    check(bench)
    with pytest.raises(UserError, match="no row number"):
        data.on_edit(bench, "row", typed)


def test_the_row_in_sight_stays_within_the_data(bench: Bench) -> None:
    check(bench)
    total = look(bench).rows
    data.on_act(bench, "previous-row", "")
    assert bench.desk.row == 0
    data.on_edit(bench, "row", "1,000,000")
    assert bench.desk.row == total - 1
    data.on_act(bench, "next-row", "")
    assert bench.desk.row == total - 1
    data.on_act(bench, "random-row", "")
    assert bench.desk.row != total - 1


def test_the_worst_rows_come_one_after_the_other(bench: Bench) -> None:
    bad = {"instruction": "Ask a@b.example or", "output": "c@d.example​, write {{ name }} there."}
    bring(bench, "worst.jsonl", [*rows(10), {**ALPACA, "extra": "1"}, *rows(3), bad])
    seen = []
    for _ in range(2):
        data.on_act(bench, "worst-row", "")
        seen.append(bench.desk.row)
    assert seen[0] == 14
    assert seen[1] != 14


def test_trained_tokens_are_marked(starter_tokenizer_folder: Path) -> None:
    tokenizer = ChatTokenizer.load(starter_tokenizer_folder)
    chat = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Arr!"}]
    page = preview_html(Shown(tokenizer.encode(chat, 512), "line 1", 0, 3, 512, "model"))
    assert "<span class='t'>Arr!</span>" in page
    assert "<span class='t s'>&lt;|im_end|&gt;</span>" in page
    assert "of 3" in page


def test_equal_neighbours_become_one_span() -> None:
    pieces = [
        Piece("a", 1, True, False, False),
        Piece("b", 2, True, False, False),
        Piece("<c>", 3, False, False, True),
    ]
    assert tokens_html(pieces) == "<span class='t'>ab</span><span class='c'>&lt;c&gt;</span>"


def test_a_row_of_a_whole_book_is_shown_in_part() -> None:
    page = tokens_html([Piece("word ", 1, True, False, False)] * 12_345)
    assert page.count("word ") == 10_000
    assert "and 2,345 more tokens" in page


def test_a_model_without_a_template_offers_the_standard_ones(bench: Bench) -> None:
    page = templates_html(list(TEMPLATES), "alpaca")
    assert '<option value="alpaca" selected>' in page
    data.on_edit(bench, "template", "vicuna")
    assert bench.recipe().chat_template == "vicuna"
    bench.choose(model_kind="folder", folder="/another")
    assert bench.recipe_so_far().chat_template == "auto"


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


def test_the_maximum_is_drawn_or_said() -> None:
    lengths = np.array([50, 60, 100])
    assert 'style="left:' in lengths_html(histogram(lengths, 80), 80, "")
    assert "maximum 1,024 →" in lengths_html(histogram(lengths, 1024), 1024, "")


def test_a_maximum_that_cuts_every_answer_away_leads_to_a_longer_one(bench: Bench, tiny_model: Path) -> None:
    bench.choose(model_kind="folder", folder=str(tiny_model), changes={"max_length": 16})
    bring(bench, "n.jsonl", rows(30))
    assert "Take the suggested maximum length" in data.next_view(bench)
    data.on_act(bench, "length", "")
    assert 'href="#preset"' in data.next_view(bench)


def test_alike_turns_are_a_sentence() -> None:
    assert "Every row has 2 messages" in turns_html(np.array([2, 2, 2], np.uint16))
    assert "or more" in turns_html(np.arange(1, 20, dtype=np.uint16))


def test_numbers_say_steps_time_and_a_better_length(bench: Bench, tiny_model: Path) -> None:
    bench.choose(model_kind="folder", folder=str(tiny_model))
    bring(bench, "n.jsonl", rows(60))
    page = data.numbers_view(bench)
    assert "Measured on all 60 rows" in page
    assert "This recipe takes" in page
    assert "A guess (" in page
    suggested = look(bench).report.suggested_max_length
    data.on_act(bench, "length", "")
    assert bench.recipe().max_length == suggested
    assert f"Set it to {suggested}" not in data.numbers_view(bench)


def test_measuring_all_is_another_question(bench: Bench, tiny_model: Path) -> None:
    bench.choose(model_kind="folder", folder=str(tiny_model))
    check(bench)
    assert not question(bench).exact
    data.on_act(bench, "measure", "")
    assert question(bench).exact
    data.on_act(bench, "stop-measuring", "")
    assert not question(bench).exact
