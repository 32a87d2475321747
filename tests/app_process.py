"""The app as a process of its own and a browser to look at it with, for tests of the whole."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from core.base.home import APP_FOLDER
from core.setup.downloads import find_browser

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START = "import sys; from ui.server import serve; sys.exit(serve(sys.argv[1], int(sys.argv[2]), False))"
# a busy test machine with two cores; only a test that fails waits as long
PATIENCE_MS = 150_000


class App:
    """`python app.py --no-browser --port N --home DIR`, without the set-up."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start it and wait until it has said its address."""
        self.home.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-c", START, str(self.home), str(self.port)]
        with open(self.home / "app.out", "a") as errors:
            self.process = subprocess.Popen(
                command, cwd=APP_FOLDER, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "ready at" in line:
                return
        raise AssertionError(f"The app did not start: {(self.home / 'app.out').read_text()}")

    def kill(self) -> None:
        """End it without a word, as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT if os.name == "posix" else signal.CTRL_C_EVENT)
        return self.process.wait(30)

    def children(self) -> list[psutil.Process]:
        """The processes that it has started and that still run."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def running_app(home: Path) -> Iterator[App]:
    """The app on `home`; at the end it and every worker of that home are gone."""
    app = App(home)
    try:
        yield app
    finally:
        if app.process is not None and app.process.poll() is None:
            app.kill()
        for worker in workers(home):
            worker.kill()


def workers(home: Path) -> list[psutil.Process]:
    """The other processes whose command line names this home folder: train and export workers, downloads."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if process.pid != os.getpid() and "-m" in words and any(str(home) in word for word in words):
            found.append(process)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium through playwright; the test is skipped where neither is to be had."""
    api = pytest.importorskip("playwright.sync_api")
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium found; `python app.py setup --test` gets one")
    with api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=str(program), args=FLAGS)
        try:
            yield chromium
        finally:
            chromium.close()


class Watched:
    """A page in a context of its own that remembers its errors and every host that it asked."""

    def __init__(self, chromium: Any, width: int = 1440, scheme: str = "light") -> None:
        self.context = chromium.new_context(
            viewport={"width": width, "height": 900}, locale="en-US", color_scheme=scheme
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.page = self.tab()

    def tab(self) -> Any:
        """One more tab of the same browser."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname or ""))
        return page
