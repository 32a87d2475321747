"""The walk in a real browser, as a newcomer goes it: model, data, preset, train, export, chat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app_process import App, Watched, browser, running_app

pytestmark = pytest.mark.slow

STEPS = ("model", "data", "preset", "train", "export", "chat")
# so many that only Stop ends the run: nothing in the test depends on how fast the machine is
ENDLESS = "100000"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


def dataset(folder: Path) -> Path:
    """A small file in Alpaca shape."""
    path = folder / "questions.jsonl"
    rows = [{"instruction": f"What is {n} plus {n}?", "output": f"It is {n + n}."} for n in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def change(page: Any, setting: str, value: str) -> None:
    """Type a setting, without waiting for an answer."""
    field = page.locator(f"#set-{setting}")
    if field.evaluate("field => field.tagName") == "SELECT":
        field.select_option(value)
    else:
        field.fill(value)
        field.press("Tab")


def choose_model_and_data(page: Any, app: App, model: Path, data: Path) -> None:
    page.goto(app.address)
    page.check("#lg-model-folder")
    page.fill("#model-folder", str(model))
    page.press("#model-folder", "Tab")
    page.wait_for_selector("#model-panel >> text=LlamaForCausalLM")
    page.click("#lg-next-model")
    page.check("#lg-data-file")
    page.set_input_files("#data-upload", data)
    page.wait_for_selector("#data-state dt:text-is('Can be used') + dd:text-is('40')")
    page.wait_for_selector("#data-chat .t")
    page.click("#data-next-row")
    page.wait_for_selector("#data-row-facts >> text=line 2:")
    page.click("a#lg-next-data")


def choose_settings(page: Any) -> None:
    page.click("#settings > summary")
    changes = {"engine": "peft", "max_steps": ENDLESS, "eval_every": "200"}
    for setting, value in changes.items():
        change(page, setting, value)
    for setting in changes:
        page.wait_for_selector(f"#set-{setting}-reset")
    page.fill("#set-rank", "0")
    page.press("#set-rank", "Tab")
    page.wait_for_selector("text=That did not work")
    page.click("#lg-next-preset")


def step_number(page: Any) -> int:
    """The step that the Train page shows, 0 before the first."""
    words = page.inner_text("#train-panel .lg-facts dd >> nth=0")
    return int(words.split()[0].replace(",", "")) if words[0].isdigit() else 0


def wait_for_steps(page: Any, beyond: int) -> None:
    page.wait_for_function(
        """beyond => parseInt((document.querySelector("#train-panel .lg-facts dd")?.textContent ?? "0")
           .replaceAll(",", "")) > beyond""",
        arg=beyond,
    )


@pytest.mark.parametrize("time", ["once", "again"])
def test_the_walk(chromium: Any, tiny_model: Path, tmp_path: Path, time: str) -> None:
    with running_app(tmp_path / "home") as app:
        watched = Watched(chromium)
        page = watched.page
        choose_model_and_data(page, app, tiny_model, dataset(tmp_path))
        choose_settings(page)
        train(page, watched)
        export(page)
        chat(page, ("tuned", "base") if time == "once" else ("tuned",))
        assert watched.errors == []
        assert watched.hosts <= {"127.0.0.1", ""}


def train(page: Any, watched: Watched) -> None:
    """Start, reload mid-run, look from a second tab, start a second time, stop and save."""
    assert page.evaluate("document.activeElement.id") == "lg-head-train"
    page.click("#train-start")
    wait_for_steps(page, 0)
    page.reload()
    wait_for_steps(page, 0)
    before = step_number(page)
    page.wait_for_function("document.querySelector('#train-chart table') !== null")
    second = watched.tab()
    second.goto(page.url)
    wait_for_steps(second, before)
    name = page.input_value("#train-run")
    assert second.input_value("#train-run") == name
    second.click("#train-chart summary")
    second.wait_for_selector("#train-chart tbody tr")
    second.close()
    page.wait_for_selector("#lg-job >> text=Training")
    page.click("#train-stop-save")
    page.wait_for_selector("#lg-next-train")
    page.click("#lg-next-train")


def export(page: Any) -> None:
    page.click("#export-start")
    page.wait_for_selector("#export-path")
    file = Path(page.inner_text("#export-path"))
    assert file.read_bytes()[:4] == b"GGUF"
    with page.expect_download() as coming:
        page.click("#export-download")
    assert Path(coming.value.path()).stat().st_size == file.stat().st_size
    assert "ollama create" in page.inner_text("#export-ollama")
    page.click("#lg-next-export")


def chat(page: Any, sides: tuple[str, ...]) -> None:
    """Prepare the base model if it is to be asked, ask, and find the talk again after a reload."""
    if "base" in sides:
        page.click("#chat-prepare-base")
        page.wait_for_selector("#chat-base", state="visible")
    page.click("#chat-settings > summary")
    page.fill("#chat-max-tokens", "8")
    page.press("#chat-max-tokens", "Tab")
    page.fill("#chat-question textarea", "What is 2 plus 2?")
    page.press("#chat-question textarea", "Enter")
    page.wait_for_selector("#chat-stop", state="visible")
    page.wait_for_selector("#chat-send", state="visible")
    for side in sides:
        answer = page.locator(f"#chat-{side} .lg-written").last
        assert answer.inner_text().strip() not in ("", "…")
    page.reload()
    page.wait_for_selector("#chat-tuned >> text=What is 2 plus 2?")


LOOK = Path(__file__).with_name("look.js").read_text("utf-8")


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[App]:
    """The app on a home with a finished run and a file of it, made by hand."""
    from tests.finished_run import make_finished_run

    home = tmp_path_factory.mktemp("lived-in")
    make_finished_run(home, tiny_model)
    with running_app(home) as app:
        yield app


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_every_step_can_be_read(chromium: Any, lived_in: App, width: int, scheme: str) -> None:
    """Contrast of all text, names of all controls, no scrolling sideways; settings unfolded."""
    watched = Watched(chromium, width, scheme)
    page = watched.page
    page.goto(lived_in.address)
    for step in STEPS:
        page.evaluate("step => location.hash = step", step)
        page.wait_for_selector(
            "#data-chat .t" if step == "data" else f"#step-{step} :is(.lg-next, .lg-actions)"
        )
        for fold in page.query_selector_all("details:not([open]) > summary"):
            if fold.is_visible():
                fold.click()
        assert page.evaluate(LOOK) == [], step
    assert watched.errors == []


def test_the_walk_goes_by_keyboard(chromium: Any, lived_in: App) -> None:
    """Tab reaches every step's way on, Enter takes it, and the focus lands on the next heading."""
    page = Watched(chromium).page
    page.goto(lived_in.address + "#model")
    for step, following in zip(STEPS[:3], STEPS[1:4]):
        page.wait_for_selector(f"#lg-next-{step}", state="visible")
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == f"lg-next-{step}":
                break
        page.keyboard.press("Enter")
        page.wait_for_function("id => document.activeElement.id === id", arg=f"lg-head-{following}")
    page.go_back()
    page.wait_for_function("document.documentElement.dataset.step === 'preset'")


def test_the_chart_speaks(chromium: Any, lived_in: App) -> None:
    """Exact values by keyboard, a text summary for readers, the table and the CSV."""
    page = Watched(chromium).page
    page.goto(lived_in.address + "#train")
    page.wait_for_selector("#train-chart [role=status] >> text=smoothed loss", state="attached")
    page.focus("#train-chart .lg-plot")
    page.keyboard.press("Home")
    assert page.inner_text("#train-chart .lg-tip").startswith("Step 0 · held-out 4.2000")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#train-chart .lg-tip").startswith("Step 1 · loss")
    page.keyboard.press("Escape")
    page.click("#train-chart summary")
    page.wait_for_selector("#train-chart tbody tr >> nth=10")
    assert page.get_attribute("#train-chart .lg-csv", "href").endswith("/losses.csv")


def test_light_and_dark_are_remembered(chromium: Any, lived_in: App) -> None:
    page = Watched(chromium).page
    page.goto(lived_in.address)
    page.wait_for_selector("#lg-theme")
    assert page.evaluate("document.body.classList.contains('dark')") is False
    page.click("#lg-theme")
    page.reload()
    page.wait_for_selector("#lg-theme >> text=Light")
    assert page.evaluate("document.body.classList.contains('dark')") is True
