"""Measures how long the page takes to come up, beside a bare `gradio.Blocks` page.

Run it with any Python, once set-up is through: `python -m tests.benchmarks.startup`. Both are started in
turns, five times each, and timed from the start of the process until `/` answers 200. Prints a table, the
medians and their ratio (goal: at most 1.3); the exit code is 1 above the goal.
"""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from core.setup.state import Places, ready

APP = Path(__file__).resolve().parent.parent.parent
GOAL = 1.3
PATIENCE = 120.0  # seconds

BARE = """
import sys
import gradio
with gradio.Blocks() as page:
    gradio.Markdown("bare")
page.launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
"""


def main() -> int:
    """Measure and report; 0 within the goal."""
    options = argparse.ArgumentParser(description="time from start to first page")
    options.add_argument("--rounds", type=int, default=5)
    rounds = options.parse_args().rounds
    if not ready():
        raise SystemExit("Set up first: python app.py setup")
    with tempfile.TemporaryDirectory() as home:
        times = measure(rounds, Path(home))
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    print("round   " + "".join(f"{name:>10}" for name in times))
    for number in range(rounds):
        print(f"{number + 1:<8}" + "".join(f"{seconds[number]:>8.2f} s" for seconds in times.values()))
    print("median  " + "".join(f"{median:>8.2f} s" for median in medians.values()))
    ratio = medians["app"] / medians["bare"]
    print(f"ratio   {ratio:.2f} (goal: at most {GOAL})")
    return 0 if ratio <= GOAL else 1


def measure(rounds: int, home: Path) -> dict[str, list[float]]:
    """Seconds of every start, by name."""
    times: dict[str, list[float]] = {"app": [], "bare": []}
    base = getattr(sys, "_base_executable", sys.executable)
    for _ in range(rounds):
        port = free_port()
        # as a user starts it: app.py's hop from the system's Python into .venv counts
        app = [base, str(APP / "app.py"), "--no-browser", "--port", str(port), "--home", str(home)]
        times["app"].append(time_start(app, port))
        port = free_port()
        times["bare"].append(time_start([str(Places().python), "-c", BARE, str(port)], port))
    return times


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def time_start(command: list[str], port: int) -> float:
    """Seconds until the page on `port` answers 200; the process is ended afterwards."""
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}
    began = time.monotonic()
    child = subprocess.Popen(command, cwd=APP, env=environment, stdout=subprocess.DEVNULL)
    try:
        while not answers(port):
            if child.poll() is not None or time.monotonic() - began > PATIENCE:
                raise SystemExit(f"{command} did not serve a page (exit code {child.poll()})")
            time.sleep(0.02)
        return time.monotonic() - began
    finally:
        child.terminate()
        child.wait(30)


def answers(port: int) -> bool:
    """Whether `/` answers 200 now."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
