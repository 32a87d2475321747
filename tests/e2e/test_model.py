"""The Model step in a real browser: the catalogue's filter, a verdict, a model from a hub on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app_process import App, Watched, browser, running_app
from tests.unit.hub_server import Hub, Repo, hub_server

pytestmark = pytest.mark.slow

PROBES = Path(__file__).parents[1] / "data" / "probes"
LOOK = Path(__file__).with_name("look.js").read_text("utf-8")
SHOWN = "#model-rows .lg-model:not([hidden])"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with hub_server(Hub()) as served:
        yield served


@pytest.fixture(scope="module")
def app(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app as it would be on a laptop with an 8 GB card, asking our hub."""
    folder = tmp_path_factory.mktemp("model-step")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORA_GARAGE_PROBE", str(PROBES / "windows_rtx_3070_ti_laptop.json"))
        patch.setenv("HF_HUB_OFFLINE", "0")
        patch.setenv("HF_ENDPOINT", hub.address)
        patch.setenv("HF_HOME", str(folder / "hf"))
        patch.delenv("HF_TOKEN", raising=False)
        with running_app(folder / "home") as started:
            yield started


def open_catalogue(watched: Watched, app: App) -> Any:
    page = watched.page
    page.goto(app.address)
    page.check("#lg-model-catalogue")
    page.wait_for_selector(SHOWN)
    return page


def names(page: Any) -> list[str]:
    """Titles of the rows that the filter shows."""
    return page.locator(f"{SHOWN} .lg-model-title b").all_inner_texts()


def test_the_catalogue_narrows_down_and_stays_so(chromium: Any, app: App) -> None:
    """Type and choose, choose a model, and the filter holds; Clear brings all back."""
    watched = Watched(chromium)
    page = open_catalogue(watched, app)
    everything = names(page)
    assert len(everything) >= 40 and page.locator("#model-rows input:checked").count() == 1
    page.evaluate("document.getElementById('model-rows').scrollTo(0, 9999)")
    page.fill("#model-search", "qwen3 base")
    assert page.evaluate("document.getElementById('model-rows').scrollTop") == 0
    assert page.title() == "Model · LoRA Garage"
    assert all("Qwen3" in name and "Base" in name for name in names(page)) and names(page)
    page.select_option("#model-by-fit", "fits")
    few = names(page)
    assert 0 < len(few) < len(everything)
    assert page.inner_text("#model-count") == f"{len(few)} of {len(everything)} models"
    page.check(f"{SHOWN} >> nth=0 >> input")
    page.wait_for_selector(f"#model-panel h3:text-is('{few[0]}')")
    assert names(page) == few
    page.fill("#model-search", "no-such-model")
    page.wait_for_selector(".lg-models-none", state="visible")
    page.click("#model-clear")
    assert len(names(page)) == len(everything)
    assert page.evaluate("document.activeElement.id") == "model-search"
    assert page.evaluate(LOOK) == []
    assert watched.errors == [] and watched.hosts <= {"127.0.0.1", ""}


def test_a_model_that_does_not_fit_is_chosen_by_keyboard(chromium: Any, app: App) -> None:
    watched = Watched(chromium)
    page = open_catalogue(watched, app)
    page.fill("#model-search", "qwen3 32b")
    page.focus(f"{SHOWN} input")
    page.keyboard.press("Space")
    page.wait_for_selector("#model-panel >> text=No setting makes it fit here.")
    page.wait_for_selector("#lg-card li >> text=Qwen3-32B")
    assert page.evaluate("document.activeElement.name") == "lg-catalogue"
    page.reload()
    page.wait_for_selector("#model-panel h3:text-is('Qwen3 32B')")
    inside = """() => {
      const list = document.getElementById("model-rows").getBoundingClientRect();
      const row = document.querySelector("#model-rows input:checked").getBoundingClientRect();
      return row.top >= list.top && row.bottom <= list.bottom;
    }"""
    page.wait_for_function(inside)
    assert watched.errors == []


def test_a_gated_model_from_search_to_training_data(
    chromium: Any, app: App, hub: Hub, tiny_model: Path
) -> None:
    """Find it, log in, download, stop, go on, and use it."""
    files = {file.name: file.read_bytes() for file in tiny_model.iterdir() if file.is_file()}
    about = {"config": {"architectures": ["LlamaForCausalLM"]}, "tags": [], "downloads": 5}
    hub.models["owner/tiny"] = Repo(files, gated=True, about=about)
    hub.bytes_a_second = 1_500_000
    watched = Watched(chromium)
    page = watched.page
    page.goto(app.address)
    page.check("#lg-model-hub")
    page.fill("#model-hub", "tiny")
    page.press("#model-hub", "Enter")
    page.check("input[value='owner/tiny']")
    page.wait_for_selector("#model-gated")
    page.fill("#model-token", hub.token)
    page.click("#model-log-in")
    page.wait_for_selector("#model-gated >> text=You are logged in")
    page.click("#model-download")
    page.wait_for_selector("#model-panel >> text=Downloading:")
    assert page.get_attribute("#lg-next-model", "href") == "#data"
    assert "Go on meanwhile" in page.inner_text("#model-panel .lg-next")
    page.click("#model-stop-download")
    page.wait_for_selector("#model-download:text-is('Go on with the download')")
    hub.bytes_a_second = 0
    page.click("#model-download")
    page.wait_for_selector("#model-panel >> text=every file has the hub’s size and hash")
    assert (app.home / "models" / "owner--tiny" / "model.safetensors").is_file()
    kept = [path for path in app.home.rglob("*") if path.is_file() and path.stat().st_size < 1 << 20]
    assert not any(hub.token.encode() in path.read_bytes() for path in kept)
    page.check("#lg-model-folder")
    page.wait_for_selector("#model-list >> text=owner/tiny")
    assert watched.errors == [] and watched.hosts <= {"127.0.0.1", ""}


def test_the_list_can_be_read_on_a_phone_in_the_dark(chromium: Any, app: App) -> None:
    """Contrast, names of controls, no scrolling sideways; with a gated model chosen."""
    watched = Watched(chromium, 390, "dark")
    page = open_catalogue(watched, app)
    page.check("input[value='google/gemma-3-4b-it']")
    page.wait_for_selector("#model-gated")
    assert page.evaluate(LOOK) == []
    assert watched.errors == []
