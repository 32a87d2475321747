"""Run folders for the training tests, and the real worker over them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from core.base.home import APP_FOLDER, Home
from core.base.jobs import JobState, read_job
from core.recipe import parse_recipe
from core.runs.data import prepare_data
from core.runs.run import Run, create_run
from tests.forked_workers import CAN_FORK, LIBRARIES, WORKER, Forked, begin_forked
from tests.waiting import wait_until

QUICK = {
    "engine": "peft",
    "precision": "fp32",
    "max_length": 128,
    "micro_batch": 1,
    "accumulate": 2,
    "max_steps": 4,
    "warmup": 0.0,
    "heldout_share": 0.25,
    "eval_every": 1000,
    "save_every": 1000,
}


def chats(count: int) -> list[dict[str, Any]]:
    """Short question-and-answer rows, each a little different from the others."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"What is {number} plus {number + 1}?"},
                {
                    "role": "assistant",
                    "content": "Arr! " * (1 + number % 3) + f"It be {2 * number + 1}, matey.",
                },
            ]
        }
        for number in range(count)
    ]


def make_run(home: Home, model: Path, rows: list[dict[str, Any]] | None = None, **changes: Any) -> Run:
    """A run folder as the app makes it; its worker copies the data first."""
    data = home.datasets / f"chats-{len(list(home.runs.iterdir()))}.jsonl"
    lines = [json.dumps(row) for row in rows or chats(12)]
    data.write_text("\n".join(lines), "utf-8")
    return create_run(home, parse_recipe({**QUICK, "model": str(model), "data": str(data), **changes}))


def ready_run(home: Home, model: Path, rows: list[dict[str, Any]] | None = None, **changes: Any) -> Run:
    """The same with its data in it, for who does without a worker."""
    run = make_run(home, model, rows, **changes)
    prepare_data(home, run.recipe, run.data)
    return run


def work(run: Run, *arguments: str, env: dict[str, str] | None = None) -> int:
    """Run the worker to its end and return its exit code. Its output is in `worker.log`."""
    return begin(run, *arguments, env=env).wait(400)


def work_side_by_side(runs: list[Run], *arguments: str) -> None:
    """Run the workers of several runs at once, one core each, to their good ends."""
    working = [begin(run, *arguments, threads=1) for run in runs]
    codes = [process.wait(400) for process in working]
    assert not any(codes), "\n".join(run.log_tail() for run in runs)


def begin(
    run: Run, *arguments: str, env: dict[str, str] | None = None, threads: int | None = None
) -> subprocess.Popen[bytes] | Forked:
    """Start the worker of a run: forked, unless `env` decides what can be imported."""
    engine = run.recipe.engine
    if threads is not None:
        env = {**(env or {}), "OMP_NUM_THREADS": str(threads)}
    whole, log = {**os.environ, **(env or {})}, run.folder / "worker.log"
    if CAN_FORK and engine in LIBRARIES and not {"PYTHONPATH", "PATH"} & set(env or {}):
        return begin_forked(engine, [str(run.folder), *arguments], log, whole)
    command = [sys.executable, "-m", WORKER, str(run.folder), *arguments]
    with open(log, "ab") as file:
        return subprocess.Popen(command, cwd=APP_FOLDER, env=whole, stdout=file, stderr=file)


def events(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for event in run.events.all() if event["kind"] == kind]


def losses(run: Run) -> dict[int, float]:
    """Step → training loss; of a step that ran twice, the last."""
    return {event["step"]: event["loss"] for event in events(run, "log")}


def summary(run: Run) -> dict[str, Any]:
    return events(run, "summary")[-1]


def wait_over(run: Run, timeout_s: float = 120) -> JobState:
    wait_until(lambda: not read_job(run.folder).active, timeout_s)
    return read_job(run.folder)
