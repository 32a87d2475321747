"""What the page must never hide or do behind a person's back, seen in the browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from core.base.files import write_json
from tests.app_process import Watched, browser, running_app
from tests.finished_run import make_finished_run
from tests.unit.datasets import pairs, write_rows

pytestmark = pytest.mark.slow

WRITTEN = "1. 1. 2.\n- one\n- two\n<b>bold</b> <think>hm</think> | a | b |\n    deep\n***\n# no title"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as one:
        yield one


def test_the_chat_shows_every_sign_that_the_model_wrote(
    chromium: Any, tiny_model: Path, tmp_path: Path
) -> None:
    run = make_finished_run(tmp_path / "home", tiny_model)
    turns = [
        {"user": "List <i>it</i>", "tuned": WRITTEN},
        {"user": "More", "tuned": "1. 1. 2.", "limited": {"tuned": 9}},
    ]
    write_json(run.chats / "conversation.json", {"turns": turns})
    with running_app(tmp_path / "home") as app:
        page = Watched(chromium).page
        page.goto(app.address + "#chat")
        page.wait_for_selector("#chat-tuned >> text=Cut off at 9 tokens")
        shown = page.inner_text("#chat-tuned")
        assert (
            page.evaluate(
                "() => { const t = document.getElementById('talk-tuned');"
                " return t.scrollHeight - t.scrollTop - t.clientHeight }"
            )
            < 2
        )
        for line in [*WRITTEN.split("\n"), "List <i>it</i>", "1. 1. 2."]:
            assert line in shown, line
        page.check("#chat-markdown")
        page.wait_for_selector("#chat-tuned li >> text=two")
        page.uncheck("#chat-markdown")
        page.wait_for_function("() => !document.querySelector('#chat-tuned li')")
        assert "1. 1. 2." in page.inner_text("#chat-tuned")


def test_files_called_valid_and_test_are_not_trained_on_silently(chromium: Any, tmp_path: Path) -> None:
    data = tmp_path / "set"
    data.mkdir()
    for name, rows in (("train", pairs(40)), ("valid", pairs(6, 50)), ("test", pairs(4, 70))):
        write_rows(data / f"{name}.jsonl", rows)
    with running_app(tmp_path / "home") as app:
        page = Watched(chromium).page
        page.goto(app.address + "#data")
        page.check("#lg-data-path")
        page.fill("#data-path", str(data))
        page.press("#data-path", "Enter")
        page.wait_for_selector("#data-files >> text=Left aside", timeout=60_000)
        assert "test.jsonl\tLeft aside\t4" in page.inner_text("#data-files")
        page.wait_for_selector("#lg-card >> text=40 train, 6 held out")
        page.check("#data-all-files")
        page.wait_for_selector("#lg-card >> text=34 train, 16 held out", timeout=60_000)
        page.fill("#data-held-share", "40")
        page.press("#data-held-share", "Enter")
        page.wait_for_selector("#lg-card >> text=30 train, 20 held out")
        page.check("#lg-held-none")
        page.wait_for_selector("#data-held >> text=Nothing will show whether")
        page.goto(app.address + "#train")
        page.wait_for_selector("#train-panel >> text=50 train, none held out")


def test_a_folder_with_far_too_much_below_it_locks_nothing_and_is_not_listed_at_a_start(
    chromium: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "everything"
    for number in range(30_000):
        if number % 1000 == 0:
            (folder / str(number)).mkdir(parents=True)
        (folder / str(number - number % 1000) / f"{number}.jsonl").touch()
    with running_app(tmp_path / "home") as app:
        watched = Watched(chromium)
        data, model = watched.page, watched.tab()
        model.goto(app.address + "#model")
        model.wait_for_selector("#lg-model-catalogue")
        data.goto(app.address + "#data")
        data.check("#lg-data-path")
        data.fill("#data-path", str(folder))
        data.press("#data-path", "Tab")
        # while it is looked at, the other tab goes on
        model.check("#lg-model-catalogue", timeout=20_000)
        model.wait_for_selector("#model-list >> text=Qwen3 0.6B", timeout=20_000)
        data.wait_for_selector("#data-state >> text=holds more than 20,000 files", timeout=20_000)
        assert data.is_disabled("#lg-next-data")
        app.kill()
        app.start()
        data.reload()
        data.wait_for_selector("#data-state >> text=holds more than 20,000 files", timeout=20_000)
        model.reload()
        model.wait_for_selector("#model-list >> text=Qwen3 0.6B", timeout=20_000)
        rmtree(folder)
        folder.mkdir()
        (folder / "some.jsonl").write_text('{"question": "Why?", "answer": "Because."}\n' * 30)
        data.click("#data-look-again")
        data.wait_for_selector("#data-state dt:text-is('Rows read') + dd:text-is('30')")
        assert watched.errors == []
