"""Prints the rows that a run's Trainer feeds its model: `python -m tests.e2e.training_batches RUN`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from core.base.home import open_home
from core.base.jobs import Worker
from core.runs.data import prepare_data
from core.runs.run import Run
from core.train.worker import set_environment, why_not_unsloth


def main(folder: Path) -> None:
    set_environment()
    run, home = Run(folder), open_home(folder.parent.parent)
    prepare_data(home, run.recipe, run.data)
    unsloth = why_not_unsloth(run.recipe)
    from core.train.batches import split_batch
    from core.train.session import Session

    session = Session.load(Worker(folder), run, home, unsloth, lambda: None, False)
    for batch in session.trainer.get_train_dataloader():
        for part in split_batch(batch, 64, True):
            for row, length in enumerate(part["attention_mask"].sum(dim=1).tolist()):
                print(
                    "ROW", json.dumps([part[key][row, :length].tolist() for key in ("input_ids", "labels")])
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
