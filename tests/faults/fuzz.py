"""Mutated data files by the thousand: `python -m tests.faults.fuzz [--files 20000] [--seed 1] [--only N]`.

Each file is made from the seed and its number alone, so `--only N` makes a single one again. Whatever is in
it, the check must end with a verdict, soon, and with nothing else. Prints what failed; the exit code is 1
then. The files that failed are kept in the folder `--keep`.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from core.base.errors import UserError
from core.data.cleaned import save_cleaned
from core.data.read import preview_rows
from core.data.scan import scan
from core.data.store import Store, text_fixes
from tests.corpus.judge import judge
from tests.faults.mutate import mutated

SECONDS_A_FILE = 8.0
# a file that is judged for so long hangs: the process ends with a trace of where
HANGS_AFTER = 120
SAY_EVERY = 1000


@dataclass(frozen=True)
class Failure:
    """A file that broke the promise, and how."""

    number: int
    name: str
    what: str


def try_file(seed: int, number: int, folder: Path) -> tuple[str, Failure | None]:
    """(verdict, failure) of the file number `number`."""
    name, raw = mutated(seed, number)
    path = folder / name
    path.write_bytes(raw)
    # of this process: how busy the machine is doesn't count
    began = time.process_time()
    try:
        verdict = _judged(path, folder / f"stores-{number}", deep=number % 4 == 0)
    except Exception:
        return "failed", Failure(number, name, traceback.format_exc(limit=-6))
    finally:
        path.unlink()
    seconds = time.process_time() - began
    if seconds > SECONDS_A_FILE:
        return verdict, Failure(number, name, f"took {seconds:.1f} s")
    return verdict, None


def _judged(path: Path, stores: Path, deep: bool) -> str:
    """The verdict on a file; `deep` also looks at its first rows and takes every fix that is offered."""
    told = judge(path, stores)
    if told["verdict"] not in ("accept", "warn", "reject"):
        raise AssertionError(f"no verdict but {told['verdict']}")
    if told["rows_usable"] + told["rows_dropped"] != told["rows_read"]:
        raise AssertionError("rows were lost without a word")
    if told["verdict"] == "reject" and not any(entry["severity"] == "error" for entry in told["problems"]):
        raise AssertionError("rejected without a reason")
    if deep:
        _look_closer(path, stores, told["problems"])
    return told["verdict"]


def _look_closer(path: Path, stores: Path, problems: list[dict[str, object]]) -> None:
    try:
        preview_rows(path, 5)
    except UserError as error:
        str(error).encode()
    fixes = tuple(str(entry["kind"]) for entry in problems if entry["fix"])
    store = Store.open(stores / "data")
    copy = stores / "copy.jsonl"
    changes = save_cleaned(store, fixes, copy)
    if not changes.rows:
        return
    again = scan([copy], stores / "again")
    if [row.messages for row in again.rows()] != [row.messages for row in store.rows(fixes)]:
        raise AssertionError("a cleaned copy is read otherwise than it was written")
    left = again.summary.tallies.keys() & set(text_fixes(fixes))
    if left:
        raise AssertionError(f"fixed, but still there: {left}")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--files", type=int, default=20_000, help="how many (default: 20,000)")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--first", type=int, default=0, help="number of the first file")
    options.add_argument("--only", type=int, help="a single file, by its number")
    options.add_argument("--keep", type=Path, help="folder for the files that failed")
    args = options.parse_args()
    wanted = range(args.first, args.first + args.files) if args.only is None else [args.only]
    began, verdicts, failures = time.monotonic(), Counter[str](), []
    for number in wanted:
        verdict, failure = _guarded(args.seed, number)
        verdicts[verdict] += 1
        if failure is not None:
            failures.append(failure)
            print(f"{failure.number} ({failure.name}): {failure.what}", flush=True)
            _keep(args, number)
        if len(wanted) > SAY_EVERY and (number + 1) % SAY_EVERY == 0:
            print(f"{number + 1:,} files, {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    minutes = (time.monotonic() - began) / 60
    said = ", ".join(f"{verdict} {count:,}" for verdict, count in verdicts.most_common())
    print(f"{len(wanted):,} files in {minutes:.1f} minutes: {said}; {len(failures)} failures")
    return 1 if failures else 0


def _guarded(seed: int, number: int) -> tuple[str, Failure | None]:
    faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return try_file(seed, number, Path(folder))
    finally:
        faulthandler.cancel_dump_traceback_later()


def _keep(args: argparse.Namespace, number: int) -> None:
    if args.keep is not None:
        args.keep.mkdir(parents=True, exist_ok=True)
        name, raw = mutated(args.seed, number)
        (args.keep / name).write_bytes(raw)


if __name__ == "__main__":
    sys.exit(main())
