"""Check worker: scans the data that a question names, and measures its tokens.

`python -m core.data.check_worker JOB_FOLDER --home DIR`; the question lies in the job's folder.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from core.base.errors import Stopped, UserError
from core.base.home import Home, open_home
from core.base.jobs import Worker
from core.base.records import read_record
from core.data.check import Question, ensure_store, ensure_tokens
from core.data.compare import near_leaked
from core.data.scan import ScanProgress


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", type=Path)
    parser.add_argument("--home", required=True)
    args = parser.parse_args()
    with Worker(args.job, "The check was stopped.") as worker:
        question = read_record(args.job / "question.json", Question)
        if question is None:
            raise UserError("This check has lost its question. Choose the data again.")
        check(worker, open_home(args.home), question)


def check(worker: Worker, home: Home, question: Question) -> None:
    """Do what the question asks for, saying how far it is."""

    def reading(progress: ScanProgress) -> None:
        share = progress.bytes / progress.total if progress.total else None
        worker.update(progress=share, **asdict(progress))

    def measuring(done: int, total: int) -> None:
        worker.update(stage="measuring", progress=done / total, measured=done, to_measure=total)

    def tick() -> None:
        if stop():
            raise Stopped

    stop = worker.stop_requested
    worker.update(stage="reading")
    store = ensure_store(home, question.paths, question.columns, reading, stop)
    if question.heldout:
        heldout = ensure_store(home, question.heldout, question.columns, reading, stop)
        near_leaked(store, heldout, tick)
        ensure_tokens(home, question.of_heldout(), heldout, measuring, stop)
    if question.aside:
        ensure_store(home, question.aside, question.columns, reading, stop)
    ensure_tokens(home, question, store, measuring, stop)


if __name__ == "__main__":
    main()
