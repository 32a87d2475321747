"""Takes the README's screenshots from the real app: `python -m tests.screenshots [--home DIR]`.

Walks from the starter model and the sample data to a chat, as a newcomer would, and writes PNG files to
`assets/screenshots/`. Takes as long as the demo; with `--home` it goes on where that home folder stands.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from tests.app_process import App, Watched, browser, running_app

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "screenshots"
SMALL_CARD = FOLDER.parents[1] / "tests" / "data" / "probes" / "windows_rtx_3070_ti_laptop.json"
QUESTION = "Where do penguins live?"
# a training on a slow machine
PATIENCE_MS = 3_600_000


def main() -> None:
    options = argparse.ArgumentParser(description="screenshots of the walk")
    options.add_argument("--home", type=Path, help="home folder to go on with (default: a new one)")
    home = options.parse_args().home
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as fresh,
        running_app(home or Path(fresh)) as app,
        browser() as chromium,
    ):
        watched = Watched(chromium)
        watched.context.set_default_timeout(PATIENCE_MS)
        walk(watched.page, app)
        looks = ((1440, "dark", ("train", "chat")), (390, "light", ("data", "preset", "train")))
        for width, scheme, steps in looks:
            again(chromium, app, width, scheme, steps)
    on_a_small_card()


def walk(page: Any, app: App) -> None:
    """The six steps, light, 1440 px wide."""
    page.goto(app.address + "#model")
    page.wait_for_selector("#model-panel >> text=135M parameters")
    shoot(page, "1-model")
    open_step(page, "data", "#data-numbers .lg-hist")
    shoot(page, "2-data")
    open_step(page, "preset", "#fit-parts .lg-time")
    shoot(page, "3-preset")
    open_step(page, "train", "#train-panel :is(button, a)")
    if page.is_visible("#train-start") and not page.is_visible("#lg-next-train"):
        page.click("#train-start")
        # a third of the way: the curve can be seen, and time left has settled
        page.wait_for_selector("#lg-job [aria-valuenow]")
        page.wait_for_function("document.querySelector('#lg-job [aria-valuenow]').ariaValueNow >= 35")
        shoot(page, "4-train")
    page.wait_for_selector("#lg-next-train")
    open_step(page, "export", "#export-panel :is(#export-start, #export-path)")
    if page.is_visible("#export-start"):
        page.click("#export-start")
    page.wait_for_selector("#export-path")
    shoot(page, "5-export")
    talk(page)
    shoot(page, "6-chat")


def talk(page: Any) -> None:
    """One question to both models."""
    open_step(page, "chat", "#chat-panel >> text=Ask the base model")
    if page.is_visible("#chat-prepare-base"):
        page.click("#chat-prepare-base")
        page.wait_for_selector(":is(#chat-prepare-base, #chat-stop-base)", state="detached")
    page.wait_for_selector("#chat-base", state="visible")
    if page.is_visible(f"#chat-tuned >> text={QUESTION}"):
        return
    page.click("#chat-settings > summary")
    for field, value in (("temperature", "0"), ("max-tokens", "40")):
        page.fill(f"#chat-{field}", value)
        page.press(f"#chat-{field}", "Tab")
    page.click("#chat-settings > summary")
    page.fill("#chat-question textarea", QUESTION)
    page.press("#chat-question textarea", "Enter")
    page.wait_for_selector("#chat-stop", state="visible")
    page.wait_for_selector("#chat-send", state="visible")


def again(chromium: Any, app: App, width: int, scheme: str, steps: tuple[str, ...]) -> None:
    """Some steps in another look."""
    page = Watched(chromium, width, scheme).page
    curve = "#train-chart [role=status] >> text=smoothed loss"
    ready = {
        "train": curve,
        "data": "#data-numbers .lg-hist",
        "preset": "#fit-parts .lg-time",
        "chat": "#chat-base .lg-written",
    }
    page.goto(app.address)
    for step in steps:
        open_step(page, step, ready[step])
        shoot(page, f"{step}-{scheme if width > 1000 else 'phone'}")


def on_a_small_card() -> None:
    """An 8 B model on a recorded card of 8 GB: what would make it fit."""
    os.environ["LORA_GARAGE_PROBE"] = str(SMALL_CARD)
    settings = {"max_length": 8192, "rank": 64, "optimizer": "adamw_torch", "checkpointing": "hf"}
    chosen = {"model_kind": "catalogue", "catalogue": "Qwen/Qwen3-8B", "changes": settings}
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "choices.json").write_text(json.dumps(chosen))
        with running_app(Path(home)) as app, browser() as chromium:
            page = Watched(chromium, 1440, "light").page
            page.goto(app.address + "#preset")
            page.wait_for_selector("#fit-make")
            shoot(page, "fit-light")


def open_step(page: Any, step: str, ready: str) -> None:
    page.evaluate("step => location.hash = step", step)
    page.wait_for_selector(ready, state="attached")


def shoot(page: Any, name: str) -> None:
    """The whole step, when its fonts and the chart's animation frame are there."""
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    page.evaluate("document.fonts.ready.then(() => new Promise(requestAnimationFrame))")
    page.screenshot(path=FOLDER / f"{name}.png", full_page=True)
    print(f"{name}.png {(FOLDER / f'{name}.png').stat().st_size // 1000} kB", flush=True)


if __name__ == "__main__":
    main()
