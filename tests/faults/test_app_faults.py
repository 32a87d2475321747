"""What a person sees when a process is killed: the app, the train worker, the chat server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.base.home import Home, open_home
from core.base.jobs import read_job, wait_job
from core.export.record import export_job, start_export
from core.runs.run import Run, active_run, create_run, start_training
from tests.app_process import PATIENCE_MS, App, Watched, browser, running_app, workers
from tests.ui_page import recipe
from ui.bench import Bench

pytestmark = pytest.mark.slow

QUICK = {"engine": "peft", "max_length": 128, "eval_every": 1000}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


def choose(home: Home, model: Path, **changes: Any) -> Bench:
    """The choices that a person would have made in the first three steps."""
    bench = Bench(home)
    bench.choose(model_kind="folder", folder=str(model), changes={**QUICK, **changes})
    return bench


def shown_step(page: Any) -> int:
    words = page.inner_text("#train-panel .lg-facts dd >> nth=0")
    return int(re.sub(r"\D", "", words.split(" of ")[0]) or 0)


def wait_beyond(page: Any, step: int) -> None:
    page.wait_for_function(
        """step => parseInt((document.querySelector("#train-panel .lg-facts dd")?.textContent ?? "0")
           .replaceAll(",", "")) > step""",
        arg=step,
    )


def test_a_run_outlives_the_app_and_a_dead_worker_can_be_resumed(
    chromium: Any, tiny_model: Path, tmp_path: Path
) -> None:
    home = open_home(tmp_path / "home")
    choose(home, tiny_model, max_steps=100_000, save_every=5)
    with running_app(home.root) as app:
        watched = Watched(chromium)
        page = watched.page
        page.goto(app.address + "#train")
        page.click("#train-start")
        wait_beyond(page, 5)

        app.kill()
        page.wait_for_selector(".lg-gone")
        before = shown_step(page)
        app.start()
        # the open page finds the app again by itself, and the run has gone on meanwhile
        page.wait_for_selector(".lg-gone", state="detached")
        wait_beyond(page, before)

        run = active_run(home)
        assert run is not None
        kill_worker(run)
        page.wait_for_selector("text=The training has died")
        words, last = page.inner_text("#train-panel"), shown_step(page)
        saved = int(re.search(r"checkpoint at step ([\d,]+)", words)[1].replace(",", ""))  # type: ignore[index]
        page.click("#train-resume")
        page.wait_for_selector("#train-stop-save")
        wait_beyond(page, last)
        started = [event for event in run.events.all() if event["kind"] == "started"]
        assert [event["step"] for event in started] == [0, saved]
        page.click("#train-stop-save")
        page.wait_for_selector("#lg-next-train >> text=Export this run")
        assert watched.errors == []


def test_a_finished_run_is_found_after_a_restart(chromium: Any, trained: Run) -> None:
    with running_app(trained.folder.parent.parent) as app:
        page = Watched(chromium).page
        page.goto(app.address + "#train")
        page.wait_for_selector("text=Training is finished")
        assert app.interrupt() == 0
        page.wait_for_selector(".lg-gone")


def kill_worker(run: Run) -> None:
    """kill -9, children too."""
    pid = read_job(run.folder).pid
    assert pid is not None
    process = psutil.Process(pid)
    for one in [*process.children(recursive=True), process]:
        one.kill()


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of three steps with its GGUF file."""
    home = open_home(tmp_path_factory.mktemp("trained"))
    bench = choose(home, tiny_model, max_steps=3)
    bench.choose(compare=False, max_tokens=1500)
    run = create_run(home, recipe(bench))
    start_training(home, run)
    assert wait_job(run.folder, 240).status == "done", run.log_tail()
    start_export(home, run)
    assert wait_job(export_job(run), 240).status == "done"
    return run


def test_a_dead_chat_server_is_a_message_and_trying_again_works(chromium: Any, trained: Run) -> None:
    with running_app(trained.folder.parent.parent) as app:
        watched = Watched(chromium)
        page = watched.page
        page.goto(app.address + "#chat")
        page.fill("#chat-question textarea", "Tell me everything.")
        page.click("#chat-send")
        wait_for_words(page, 20)
        kill_chat_servers(app)
        page.wait_for_selector("#chat-problem >> text=The answer broke off")
        page.click("#chat-retry")
        page.wait_for_selector("#chat-stop", state="visible")
        wait_for_words(page, 20)
        page.click("#chat-stop")
        page.wait_for_selector("#chat-send", state="visible")
        assert not page.is_visible("#chat-retry")
        kept = page.locator("#chat-tuned .lg-written").last.inner_text()
        assert len(kept) >= 20
        assert watched.errors == []
        app.interrupt()
    assert not [one for one in workers(trained.export) if one.is_running()]


def wait_for_words(page: Any, length: int) -> None:
    """Until the answer has some length."""
    page.wait_for_function(
        """length => {
          const answers = [...document.querySelectorAll("#chat-tuned .lg-written")];
          return (answers.at(-1)?.innerText ?? "").length >= length;
        }""",
        arg=length,
        timeout=PATIENCE_MS,
    )


def kill_chat_servers(app: App) -> None:
    servers = [child for child in app.children() if "core.chat.server" in words_of(child)]
    assert servers
    for server in servers:
        server.kill()


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; nothing when it has just ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []
