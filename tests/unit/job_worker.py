"""A little worker for test_jobs: `python -m tests.unit.job_worker FOLDER WHAT`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from core.base.errors import Stopped, UserError
from core.base.jobs import Worker


def main(folder: Path, what: str) -> None:
    with Worker(folder) as worker:
        if what == "user-error":
            raise UserError("Row 3 has no answer. Add one.")
        if what == "crash":
            print(1 // 0)
        if what == "until-stopped":
            worker.update(stage="waiting")
            while not worker.stop_requested():
                time.sleep(0.02)
            raise Stopped
        print("hello from the worker")
        worker.say("stage", stage="working")
        worker.update(stage="working", progress=1.0, made="something")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
