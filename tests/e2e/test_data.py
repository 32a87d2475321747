"""The Data step in a real browser: a messy file becomes data that can be trained on."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.base.files import write_json
from core.recipe import Recipe
from tests.app_process import App, Watched, browser, running_app
from tests.e2e.test_walk import LOOK, change

pytestmark = pytest.mark.slow

PLACES = ("the market hall", "a library card", "street parking", "the old archive", "lost property")
DOINGS = ("open", "renew", "cancel", "reach", "book", "find", "begin")
DAYS = ("Monday", "Tuesday", "Friday", "any day but Sunday")
THINGS = ("two photos", "a form", "your old card", "the receipt", "nothing at all")
MAILS = 4
COPIES = 6
EMPTY = 3


def messy_rows() -> list[list[str]]:
    """Questions and answers with what real tables have: copies, addresses, gaps, markup."""
    rows = []
    for number in range(70):
        place, doing = PLACES[number % 5], DOINGS[number % 7]
        question = f"When and where can I {doing} {place} in district {number * 7 % 41}?"
        answer = (
            f"Desk {number * 11 % 83}, on {DAYS[number % 4]}. Bring {THINGS[number * 3 % 5]}. "
            + " ".join(f"Ask for {PLACES[(number + step) % 5]} too." for step in range(number % 6))
        )
        rows.append([str(number), "2024-01-20", question, answer])
    rows += rows[:COPIES]
    for number in range(MAILS):
        answer = f"Write to office{number}@town-hall.example.org; it takes {number + 2} days."
        rows.append(["", "", f"Who answers letters about {PLACES[number]}?", answer])
    rows += [["", "", f"Is there any news about {PLACES[number]}?", " "] for number in range(EMPTY)]
    rows.append(["", "", "<img src=x onerror=alert(1)> What is this?", "No picture: <b>nothing</b> to see."])
    return rows


def write_messy(path: Path) -> Path:
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Nr", "Stand", "Texte A", "Texte B"])
        writer.writerows(messy_rows())
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture
def app(tmp_path: Path, tiny_model: Path) -> Iterator[App]:
    """The app with the tiny model chosen."""
    write_json(tmp_path / "home" / "choices.json", {"model_kind": "folder", "folder": str(tiny_model)})
    with running_app(tmp_path / "home") as found:
        yield found


def bring(page: Any, app: App, *files: Path) -> None:
    page.goto(app.address + "#data")
    page.check("#lg-data-file")
    page.set_input_files("#data-upload", files)


def fact(page: Any, name: str) -> str:
    return page.inner_text(f"#data-state dt:text-is('{name}') + dd")


def test_a_messy_table_is_mapped_mended_seen_and_trained(chromium: Any, app: App, tmp_path: Path) -> None:
    watched = Watched(chromium)
    page = watched.page
    bring(page, app, write_messy(tmp_path / "town questions.csv"))
    map_columns(page)
    assert fact(page, "Rows read") == str(len(messy_rows()))
    assert fact(page, "Left out") == str(EMPTY)
    take_fixes(page)
    see_a_row(page)
    see_it_again(page, watched)
    save_cleaned(page)
    run = train(page, app)
    recipe = Recipe.load(run / "recipe.yaml")
    assert sorted(recipe.fixes) == ["duplicates", "e-mail addresses"]
    assert recipe.columns["Texte B"] == "assistant"
    lines = (run / "data" / "train.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == len(set(lines))
    assert not any("@town-hall" in line for line in lines)
    assert page.query_selector("#step-data img") is None
    assert watched.errors == []


def map_columns(page: Any) -> None:
    """The guess is there; set both columns all the same, and read the file that way."""
    page.wait_for_selector("#data-column-3")
    page.wait_for_selector("#data-preview >> text=of the first 20")
    assert page.input_value("#data-column-2") == "user"
    page.select_option("#data-column-2", "assistant")
    page.select_option("#data-column-3", "user")
    page.wait_for_selector("#data-chat .t >> text=When and where can I open")
    page.select_option("#data-column-2", "user")
    page.select_option("#data-column-3", "assistant")
    page.wait_for_selector("#data-chat .t >> text=Desk 0")
    assert page.evaluate(LOOK) == []
    page.click("#data-map")
    page.wait_for_selector("#fix-duplicates")


def take_fixes(page: Any) -> None:
    """One by mouse, one by keyboard; the focus stays on the button, which then takes it back."""
    page.click("#fix-duplicates")
    page.wait_for_selector("#fix-duplicates >> text=Take it back")
    page.focus("#fix-e-mail-addresses")
    for words in ("Take it back", "Mask them", "Take it back"):
        page.keyboard.press("Enter")
        page.wait_for_selector(f"#fix-e-mail-addresses >> text={words}")
        assert page.evaluate("document.activeElement.id") == "fix-e-mail-addresses"
    usable = len(messy_rows()) - EMPTY - COPIES
    page.wait_for_selector(f"#data-state dd:text-is('{usable}')")


def see_a_row(page: Any) -> None:
    """A problem's row is shown in colour, with what the fixes made of it; then other rows."""
    page.click("#problem-e-mail-addresses .lg-place >> nth=0")
    page.wait_for_selector("#data-preview >> text=Changed by your fixes: e-mail addresses")
    trained = page.inner_text("#data-chat .t >> nth=0")
    assert trained.startswith("Write to ")
    assert "@" not in trained
    assert page.inner_text("#data-chat .s >> nth=0") == "<|im_start|>"
    page.wait_for_function(
        "document.querySelector('#data-preview').getBoundingClientRect().bottom <= innerHeight"
    )
    page.fill("#data-row", "3")
    page.press("#data-row", "Enter")
    page.wait_for_selector("#data-row-facts >> text=line 4:")
    page.click("#data-next-row")
    page.wait_for_selector("#data-row-facts >> text=line 5:")
    page.fill("#data-row", "many")
    page.press("#data-row", "Enter")
    page.wait_for_selector("text=no row number")
    page.click("#data-worst-row")
    page.click("#data-random-row")


def see_it_again(page: Any, watched: Watched) -> None:
    """A reload and a second tab show the same."""
    page.reload()
    page.wait_for_selector("#fix-duplicates >> text=Take it back")
    page.wait_for_selector("#data-numbers .lg-hist")
    second = watched.tab()
    second.goto(page.url)
    second.wait_for_selector("#fix-duplicates >> text=Take it back")
    second.close()


def save_cleaned(page: Any) -> None:
    with page.expect_download() as coming:
        page.click("#data-cleaned")
    assert coming.value.suggested_filename == "town questions.cleaned.jsonl"
    rows = [json.loads(line) for line in Path(coming.value.path()).read_text("utf-8").splitlines()]
    assert len(rows) == len(messy_rows()) - EMPTY - COPIES
    assert all(set(row) == {"messages"} for row in rows)
    with page.expect_download() as coming:
        page.click("#data-changes")
    changes = [json.loads(line) for line in Path(coming.value.path()).read_text("utf-8").splitlines()]
    assert len(changes) == EMPTY + COPIES + MAILS


def train(page: Any, app: App) -> Path:
    """Two steps on this data; the run's folder."""
    page.click("#lg-next-data")
    page.click("#settings > summary")
    for setting, value in {"engine": "peft", "max_steps": "2"}.items():
        change(page, setting, value)
        page.wait_for_selector(f"#set-{setting}-reset")
    page.click("#lg-next-preset")
    page.click("#train-start")
    page.wait_for_selector("#train-panel >> text=Training is finished")
    return app.home / "runs" / page.input_value("#train-run")


def test_several_files_a_broken_one_and_a_place_on_this_machine(
    chromium: Any, app: App, tmp_path: Path
) -> None:
    watched = Watched(chromium, 390)
    page = watched.page
    files = [tmp_path / f"part{part}.jsonl" for part in (1, 2)]
    for part, file in enumerate(files):
        rows = [
            {"question": row[2], "answer": row[3] + f" Part {part}."}
            for row in messy_rows()[part * 35 :][:30]
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    bring(page, app, *files)
    page.wait_for_selector("#data-state dt:text-is('Rows read') + dd:text-is('60')")
    broken = tmp_path / "broken.jsonl"
    broken.write_text(files[0].read_text("utf-8") + '{"question": "half\n', "utf-8")
    page.set_input_files("#data-upload", broken)
    page.wait_for_selector("#data-state >> text=can’t be used")
    page.wait_for_selector("#problem-unreadable-row >> text=line 31")
    assert page.is_disabled("#lg-next-data")
    assert page.evaluate(LOOK) == []
    page.click("#fix-unreadable-row")
    page.wait_for_selector("a#lg-next-data")
    page.check("#lg-data-path")
    page.fill("#data-path", str(tmp_path / "nowhere"))
    page.press("#data-path", "Tab")
    page.wait_for_selector("#data-state >> text=there is no such file")
    page.fill("#data-path", str(files[1]))
    page.press("#data-path", "Tab")
    page.wait_for_selector("#data-state dt:text-is('Rows read') + dd:text-is('30')")
    assert watched.errors == []
