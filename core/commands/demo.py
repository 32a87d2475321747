"""The whole way on the starter model and the sample data."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.base.errors import WorkerFailed
from core.base.home import Home
from core.commands.chat import ask
from core.commands.export import export
from core.commands.follow import follow
from core.commands.train import checked_run, train
from core.data import read_snapshot
from core.export.record import Export, base_gguf, base_job, start_export
from core.presets import preset_named
from core.runs.progress import read_progress
from core.runs.run import Run

QUESTIONS = 3
QUANT = "Q4_K_M"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There is nothing to choose: it is the same run everywhere."""


def run(home: Home, args: argparse.Namespace) -> dict[str, Any]:
    """The whole way on the embedded default: starter model, sample data, CPU preset, GGUF, three answers."""
    seconds: dict[str, float] = {}
    clock = _Clock(seconds)
    recipe = preset_named("cpu").recipe(data="sample", name="pirate")
    trained = clock.time("prepare", lambda: checked_run(home, recipe))
    clock.time("train", lambda: train(home, trained))
    file = clock.time("export", lambda: export(home, trained, QUANT))
    base = clock.time("export_base", lambda: _base(home, trained))
    prompts = _prompts(trained)
    tuned = clock.time("chat_tuned", lambda: ask(file.file, prompts, None, 80, 0.0))
    plain = clock.time("chat_base", lambda: ask(base, prompts, None, 80, 0.0))
    answers = [
        {"prompt": prompt, "base": before, "tuned": after}
        for prompt, before, after in zip(prompts, plain, tuned)
    ]
    result = _result(trained, file, answers, seconds)
    _print(result)
    return result


class _Clock:
    """Wall-clock seconds by stage, and one line for each."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds

    def time(self, stage: str, work: Callable[[], Any]) -> Any:
        began = time.monotonic()
        result = work()
        self.seconds[stage] = round(time.monotonic() - began, 1)
        print(f"{stage.replace('_', ' ')}: {self.seconds[stage]} s", flush=True)
        return result


def _base(home: Home, trained: Run) -> Path:
    """The untouched base model at the same quantization, so that the comparison is fair; made once."""
    if base_gguf(home, trained, QUANT) is None:
        job = base_job(home, trained, QUANT)
        follow(job, lambda: start_export(home, trained, QUANT, what="base"))
    file = base_gguf(home, trained, QUANT)
    if file is None:
        raise WorkerFailed("The base model's GGUF is missing.", base_job(home, trained, QUANT) / "worker.log")
    return file


def _prompts(trained: Run) -> list[str]:
    _, heldout = read_snapshot(trained.data)
    firsts = [row.messages[0]["content"] for row in heldout if row.messages[0]["role"] == "user"]
    return firsts[:QUESTIONS]


def _result(
    trained: Run, file: Export, answers: list[dict[str, str]], seconds: dict[str, float]
) -> dict[str, Any]:
    summary = read_progress(trained).summary
    return {
        "run": str(trained.folder),
        "backend": summary["engine"],
        "steps": summary["steps"],
        "tokens_per_s": summary["tokens_per_s"],
        "heldout_loss_base": summary["heldout_loss_base"],
        "heldout_loss_tuned": summary["heldout_loss_tuned"],
        "gguf": str(file.file),
        "gguf_sha256": file.sha256,
        "answers": answers,
        "seconds": {**seconds, "total": round(sum(seconds.values()), 1)},
    }


def _print(result: dict[str, Any]) -> None:
    before, after = result["heldout_loss_base"], result["heldout_loss_tuned"]
    print(f"\nHeld-out loss {before:.3f} before, {after:.3f} after: {1 - after / before:.0%} lower.")
    for answer in result["answers"]:
        print(f"\nYou:   {answer['prompt']}\nBase:  {answer['base']}\nTuned: {answer['tuned']}")
    print(f"\nThe model: {result['gguf']}\nEverything took {result['seconds']['total']:.0f} s.", flush=True)
