"""How long a typed folder takes to its files or a sentence: `python -m tests.benchmarks.listing`.

The goal: 1 s for a folder with 250,000 files, at the first look and in every scene after it. Prints a table;
the exit code is 1 above the goal. Makes its folders in the system's folder for temporary files.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from core.base.errors import UserError
from core.base.home import Home, open_home
from core.data.check import Question, read_check
from core.data.read import expand

GOAL_S = 1.0


def main() -> int:
    """Measure and report; 0 within the goal."""
    print(f"{'folder':<34}{'first look':>12}{'next look':>12}{'a check’s state':>17}   outcome")
    with tempfile.TemporaryDirectory() as root:
        home = open_home(Path(root) / "home")
        folders = {
            "100 files": made(Path(root) / "small", 100),
            "19,000 files in 19 folders": made(Path(root) / "many", 19_000),
            "250,000 files in 250 folders": made(Path(root) / "far too many", 250_000),
            "250,000 files in one folder": made(Path(root) / "flat", 250_000, 250_000),
            "the whole system": Path("/").resolve(),
        }
        slowest = max(report(home, name, folder) for name, folder in folders.items())
    print(f"slowest {slowest:.2f} s (goal: at most {GOAL_S:.0f} s)")
    return 0 if slowest <= GOAL_S else 1


def made(folder: Path, count: int, each: int = 1000) -> Path:
    """A folder with so many files below it, `each` to a folder."""
    for number in range(count):
        part = folder / f"{number // each:03}"
        if number % each == 0:
            part.mkdir(parents=True)
        (part / f"{number:06}.jsonl").touch()
    return folder


def report(home: Home, name: str, folder: Path) -> float:
    """One line of the table; the longest time in seconds."""
    first, outcome = timed(lambda: looked_at(folder))
    again, _ = timed(lambda: looked_at(folder))
    state, _ = timed(lambda: str(read_check(home, Question([folder])).missing))
    print(f"{name:<34}{first:>10.3f} s{again:>10.3f} s{state:>15.3f} s   {outcome}")
    return max(first, again, state)


def looked_at(folder: Path) -> str:
    try:
        return f"{len(expand([folder])):,} files"
    except UserError as refusal:
        return str(refusal).removeprefix(str(folder)).partition(". ")[0].strip()


def timed(work: Callable[[], str]) -> tuple[float, str]:
    start = time.perf_counter()
    outcome = work()
    return time.perf_counter() - start, outcome


if __name__ == "__main__":
    raise SystemExit(main())
