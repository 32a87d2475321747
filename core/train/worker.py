"""The train worker: `python -m core.train.worker RUN_FOLDER [--home HOME] [--resume]`.

Reads the run's recipe and data snapshot, trains, and writes `adapter/` last. Everything it says goes into
the run folder; nobody needs to be watching.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.base.home import Home, open_home
from core.base.jobs import Stopped, Worker
from core.data.scan import ScanStopped
from core.machine import Hardware, find_hardware
from core.runs.data import has_data, prepare_data
from core.runs.run import Run
from core.train.engine import why_not_unsloth


@dataclass
class Stop:
    """What asks the worker to end early: the run's stop.request, or a signal."""

    worker: Worker
    signalled: bool = False

    def listen(self) -> None:
        names = ("SIGTERM", "SIGINT", "SIGBREAK")
        for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        self.signalled = True

    def asked(self) -> str | None:
        """`stop`, `save`, or None."""
        return self.worker.stop_requested() or ("stop" if self.signalled else None)


@dataclass
class Stages:
    """Names the stage in state and log, and keeps the seconds of each."""

    worker: Worker
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str):
        self.worker.update(stage=name, progress=None)
        self.worker.say("stage", stage=name)
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - start, 2)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train one run.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args(arguments)
    folder = args.run.resolve()
    with Worker(folder) as worker:
        stop = Stop(worker)
        stop.listen()
        home = open_home(args.home or folder.parent.parent)
        try:
            train(worker, Run(folder), home, stop, args.resume)
        except (Stopped, ScanStopped):
            worker.stopped("Stopped before training began.")


def set_environment() -> None:
    """What must be said before torch is loaded. What the user has set already stays."""
    wanted = {
        # everything that a worker needs is here; asking a hub would only cost time
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        # threads that wait must not burn the core that others need: on a busy machine that is 5 times faster
        "OMP_WAIT_POLICY": "PASSIVE",
        # on a CPU oneDNN keeps what it made for each shape of a 16-bit product, 1,024 of them: with rows of
        # every length that grows by 40 MB a step. A step through all layers needs about 40 at a time
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
        "LRU_CACHE_CAPACITY": "64",
        # several GPUs would make the Trainer split batches among them; the best one trains
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        **the_training_gpu(find_hardware()),
    }
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def the_training_gpu(hardware: Hardware) -> dict[str, str]:
    """What leaves torch the one card that trains; an empty list of cards where none of NVIDIA's may."""
    gpu = hardware.training_gpu
    if gpu is not None and gpu.vendor == "nvidia":
        return {"CUDA_VISIBLE_DEVICES": str(gpu.index)}
    if gpu is not None and sum(other.vendor == "amd" for other in hardware.gpus) > 1:
        return {"HIP_VISIBLE_DEVICES": str(gpu.index)}
    refused = gpu is None and any(other.vendor == "nvidia" for other in hardware.gpus)
    return {"CUDA_VISIBLE_DEVICES": ""} if refused else {}


def train(worker: Worker, run: Run, home: Home, stop: Stop, resume: bool) -> None:
    """The whole run: copy the data, load, train, save. A UserError says what a person can mend."""
    set_environment()
    stages = Stages(worker)
    if not has_data(run.data):
        with stages("preparing"):
            prepare_data(home, run.recipe, run.data, lambda share: worker.update(progress=share), stop.asked)
    with stages("loading"):
        unsloth = why_not_unsloth(run.recipe)
        # only now: Unsloth must be imported before the libraries that it rewrites
        from core.train.session import Session

        session = Session.load(worker, run, home, unsloth, stop.asked, resume)
    if stop.asked():
        raise Stopped
    with stages("training"):
        session.train()
    if session.stopped_by == "stop":
        session.note_measured()
        worker.stopped(session.stop_sentence())
        return
    with stages("saving"):
        session.save_adapter()
    worker.say("summary", **session.summary(stages.seconds))
    session.note_measured()
    if session.stopped_by:
        worker.update(adapter_saved=True)
        worker.stopped(session.stop_sentence())


if __name__ == "__main__":
    main()
