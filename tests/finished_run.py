"""A home folder with a finished run in it, written by hand: what pages look like when everything is done."""

from __future__ import annotations

import math
from pathlib import Path

from core.base.events import EventLog, now
from core.base.files import write_atomic, write_json
from core.base.home import open_home
from core.export.record import Export, add_export
from core.recipe import Recipe
from core.runs.run import Run

STEPS = 60


def make_finished_run(root: Path, model: Path, name: str = "2026-11-21_pirate_tiny_0a1b") -> Run:
    """The run of `model` with falling losses, an adapter and one exported file; `model` is also chosen."""
    home = open_home(root)
    write_json(home.root / "choices.json", {"model_kind": "folder", "folder": str(model)})
    run = Run(home.runs / name)
    Recipe(model=str(model), data="sample", max_length=256).save(run.folder / "recipe.yaml")
    log = EventLog(run.folder / "events.jsonl")
    log.append("started", step=0, total_steps=STEPS, engine="peft", reason="The recipe asks for it.")
    log.append("eval", step=0, loss=4.2)
    for step in range(1, STEPS + 1):
        loss = 1.6 + 2.5 * math.exp(-step / 15) + 0.2 * math.sin(step * 1.7)
        log.append("log", step=step, total_steps=STEPS, loss=loss, tokens_per_s=70.0, memory=1 << 30)
        if step % 10 == 0:
            log.append("eval", step=step, loss=1.7 + 2.5 * math.exp(-step / 15))
    write_json(run.folder / "state.json", {"status": "done", "message": ""})
    write_atomic(run.folder / "worker.log", "nothing to tell\n")
    write_json(run.adapter / "adapter_config.json", {})
    gguf = run.export / "pirate-tiny-Q4_K_M.gguf"
    write_atomic(gguf, b"GGUF")
    add_export(run, Export(gguf, "Q4_K_M", 4, "0" * 64, "tuned", "tiny", now(), {"merge": 2.0}))
    return run
