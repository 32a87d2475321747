"""Will it fit? In a real browser, on recorded machines: sliders, Make it fit, a refused card, own presets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app_process import App, Watched, browser, running_app
from tests.e2e.test_walk import LOOK

pytestmark = pytest.mark.slow

GTX_1080 = Path(__file__).resolve().parents[1] / "data" / "probes" / "linux_gtx_1080.json"
RTX_4060 = {
    "system": {"system": "Linux", "release": "6.8.0-45-generic", "version": "", "machine": "x86_64"},
    "cores": 12,
    "memory": {"total": 33_500_000_000, "available": 27_000_000_000},
    "disk_free": 412_000_000_000,
    "nvml": {
        "driver": "580.95.05",
        "cuda": 13000,
        "devices": [
            {
                "name": "NVIDIA GeForce RTX 4060",
                "memory": {"total": 8188 << 20, "free": 7600 << 20, "used": 588 << 20},
                "capability": [8, 9],
            }
        ],
    },
}
# settings of a run that an 8 GB card has no room for
TOO_MUCH = {"max_length": 8192, "rank": 64, "optimizer": "adamw_torch", "checkpointing": "hf"}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """The app on a recorded 8 GB card, with an 8 B model of the catalogue chosen that is not downloaded."""
    probe = tmp_path / "probe.json"
    probe.write_text(json.dumps(RTX_4060))
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(probe))
    home = tmp_path / "home"
    home.mkdir()
    chosen = {"model_kind": "catalogue", "catalogue": "Qwen/Qwen3-8B", "changes": TOO_MUCH}
    (home / "choices.json").write_text(json.dumps(chosen))
    with running_app(home) as started:
        yield started


def gigabytes(page: Any) -> float:
    """What the meter says that the run takes."""
    found = re.match(r"([\d.]+) of [\d.]+ GB", page.inner_text(".lg-fit-total b"))
    assert found is not None
    return float(found[1])


def wait_for(page: Any, condition: str, than: float) -> None:
    page.wait_for_function(
        """([condition, than]) => {
            const now = parseFloat(document.querySelector('.lg-fit-total b').textContent);
            return condition === 'less' ? now < than : now > than;
        }""",
        arg=[condition, than],
    )


def test_the_meter_follows_and_make_it_fit_fits(chromium: Any, app: App) -> None:
    watched = Watched(chromium)
    page = watched.page
    page.goto(app.address + "#preset")
    page.wait_for_selector("#fit-meter >> text=Doesn’t fit")
    assert "RTX 4060" in page.inner_text("#lg-hardware")
    move_length_and_rank(page, app)
    make_it_fit_and_back(page, app)
    keep_a_preset(page, app)
    assert watched.errors == []
    assert watched.hosts <= {"127.0.0.1", ""}


def move_length_and_rank(page: Any, app: App) -> None:
    """The bar, the card and the table follow each key; what the sliders say is kept when they rest."""
    before = gigabytes(page)
    page.focus("#fit-max_length")
    page.keyboard.press("Home")
    wait_for(page, "less", before)
    shorter = gigabytes(page)
    page.focus("#fit-rank")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    wait_for(page, "less", shorter)
    assert page.inner_text("#fit-rank-value") == "16"
    # both read at one moment: the second key's answer may still be on its way
    page.wait_for_function(
        """() => document.querySelector("#card-fit b").innerText
          === document.querySelector(".lg-fit-total b").innerText"""
    )
    page.wait_for_selector("#card >> text=rank 16")
    assert page.evaluate("document.activeElement.id") == "fit-rank"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.focus("#fit-max_length")
    page.keyboard.press("End")
    page.wait_for_selector("#preset-words >> text=32,768")
    page.wait_for_selector("#lg-next-preset >> text=Use it anyway")
    assert saved(app)["changes"]["rank"] == 64


def saved(app: App) -> dict[str, Any]:
    return json.loads((app.home / "choices.json").read_text())


def make_it_fit_and_back(page: Any, app: App) -> None:
    """Each step with its saving, then Undo brings back every setting."""
    before = saved(app)["changes"]
    page.wait_for_selector("#fit-more tbody tr >> text=saves")
    page.focus("#fit-make")
    page.keyboard.press("Enter")
    page.wait_for_selector("#fit-more >> text=Made to fit")
    page.wait_for_selector("#fit-meter .lg-verdict:not(.lg-bad)")
    assert page.inner_text("#lg-next-preset") == "Use this recipe"
    assert saved(app)["changes"] != before
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "fit-undo"
    page.keyboard.press("Enter")
    page.wait_for_selector("#fit-meter >> text=Doesn’t fit")
    assert saved(app)["changes"] == before
    page.click("#fit-make")
    page.wait_for_selector("#fit-undo")


def keep_a_preset(page: Any, app: App) -> None:
    """Save the settings under a name, download them, delete them, load the file."""
    page.click("#own-presets > summary")
    page.fill("#preset-name", "Pirate, 8 GB")
    page.press("#preset-name", "Enter")
    page.wait_for_selector("#card >> text=Pirate, 8 GB")
    with page.expect_download() as coming:
        page.click("#preset-own .lg-own a")
    file = app.home / "shared.yaml"
    coming.value.save_as(file)
    # playwright answers a question with No unless it is told otherwise
    page.click("#preset-own .lg-own button")
    page.once("dialog", lambda question: question.accept())
    page.click("#preset-own .lg-own button")
    page.wait_for_selector("#preset-own .lg-own", state="detached")
    page.set_input_files("#preset-file", file)
    page.wait_for_selector("#card >> text=Pirate, 8 GB")
    file.write_text("title: [broken")
    page.set_input_files("#preset-file", file)
    page.wait_for_selector("#message >> text=That did not work")


def test_a_card_that_cannot_train_is_refused_in_words(
    chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_GARAGE_PROBE", str(GTX_1080))
    with running_app(tmp_path / "home") as app:
        for width, scheme in ((390, "dark"), (1440, "light")):
            watched = Watched(chromium, width, scheme)
            page = watched.page
            page.goto(app.address + "#preset")
            page.wait_for_selector("#preset-machine [role=alert] >> text=compute capability 6.1")
            page.wait_for_selector("#preset-panel >> text=CPU")
            for fold in page.query_selector_all("#step-preset details:not([open]) > summary"):
                fold.click()
            assert page.evaluate(LOOK) == []
            assert watched.errors == []
            watched.context.close()
