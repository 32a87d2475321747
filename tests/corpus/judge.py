"""Judges files as `check-data` does, in this process: `python -m tests.corpus.judge [NAME…]` judges cases."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from core.data.kinds import KINDS
from core.data.measure import measure
from core.data.report import report
from core.data.scan import scan
from core.data.store import Store
from core.data.tokenize import ChatTokenizer
from tests.corpus.case import Case
from tests.corpus.make import CASES, heldout_path, write


def judge(
    path: Path,
    stores: Path,
    columns: dict[str, str] | None = None,
    heldout: Path | None = None,
    tokenizer: ChatTokenizer | None = None,
    max_length: int | None = None,
    fixes: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The report on `path`, as `check-data --json` prints it. Stores are written to the folder `stores`."""
    store = scan([path], stores / "data", columns)
    other = scan([heldout], stores / "heldout") if heldout else None
    tokens = None
    if tokenizer is not None:
        tokens = measure(tokenizer, store.numbered(range(len(store))))
    told = report(store, tokens=tokens, max_length=max_length or 1024, fixes=list(fixes), heldout=other)
    return told.to_json()


def judge_case(name: str, folder: Path, stores: Path, model: Path | None = None) -> dict[str, Any]:
    """Write the case `name` below `folder` and judge it; `model` is asked only where lengths matter."""
    case = CASES[name]
    path = write(name, folder)
    return judge(
        path,
        stores,
        columns=case.columns or None,
        heldout=heldout_path(path) if case.heldout is not None else None,
        tokenizer=ChatTokenizer.load(model) if model and case.max_length else None,
        max_length=case.max_length,
    )


def first_texts(stores: Path) -> list[str]:
    """The contents of the messages of the first usable row."""
    return [message["content"] for message in Store.open(stores / "data").row(0).messages]


def numbers(rows: list[Any]) -> list[int]:
    """The line or record numbers in the places of rows: “line 12”, “x.csv, record 3”."""
    return [int(re.findall(r"\d+", str(row))[-1]) for row in rows]


def differences(case: Case, told: dict[str, Any]) -> list[str]:
    """Where a report differs from the golden verdict, in words."""
    found = {entry["kind"]: entry for entry in told["problems"] if entry["severity"] != "note"}
    wrong = _wrong_verdict(case, told) + _wrong_counts(case, told)
    if case.problems is not None:
        wrong += _wrong_problems(case, found)
    if case.says and not any(case.says in f"{entry['message']} {entry['rows']}" for entry in found.values()):
        wrong.append(f"no message says “{case.says}”")
    for entry in found.values():
        if not entry["message"].strip():
            wrong.append(f"“{entry['kind']}” has no message")
    return wrong


def _wrong_verdict(case: Case, told: dict[str, Any]) -> list[str]:
    wanted = {"usable": ("accept", "warn"), "any": ("accept", "warn", "reject")}
    allowed = wanted.get(case.verdict, (case.verdict,))
    return [] if told["verdict"] in allowed else [f"verdict {told['verdict']}, not {case.verdict}"]


def _wrong_counts(case: Case, told: dict[str, Any]) -> list[str]:
    wrong = []
    for what, wanted in (("rows_read", case.read), ("rows_usable", case.usable)):
        if wanted is not None and told[what] != wanted:
            wrong.append(f"{what} {told[what]}, not {wanted}")
    if told["rows_usable"] + told["rows_dropped"] != told["rows_read"]:
        wrong.append("rows usable and dropped are not the rows read")
    return wrong


def _wrong_problems(case: Case, found: dict[str, Any]) -> list[str]:
    golden = case.problems or {}
    wrong = [f"no “{kind}”" for kind in golden if kind not in found]
    # texts made by the dozen are alike; only where it is the point must they not be called so
    extra = set(found) - set(golden) - ({"near-duplicates"} if case.verdict != "accept" else set())
    wrong += [f"“{kind}” {found[kind]['rows']} unasked" for kind in sorted(extra)]
    for kind in golden.keys() & found.keys():
        if not KINDS[kind].about_rows:
            continue
        wanted, entry = golden[kind], found[kind]
        count = wanted if isinstance(wanted, int) else len(wanted)
        if entry["count"] != count:
            wrong.append(f"“{kind}” {entry['count']} times, not {count}")
        if isinstance(wanted, list) and numbers(entry["rows"]) != wanted:
            wrong.append(f"“{kind}” in {entry['rows']}, not in {wanted}")
    return wrong


def peak_memory() -> int:
    """The most bytes that this process has had in memory so far."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    if sys.platform == "linux":
        # getrusage would also count what the process was forked from
        status = Path("/proc/self/status").read_text("ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    for name in sys.argv[1:] or CASES:
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            told = judge_case(name, Path(folder) / "data", Path(folder) / "stores")
            seconds = round(time.monotonic() - began, 2)
            wrong = differences(CASES[name], told)
            print(json.dumps({"name": name, "seconds": seconds, "peak": peak_memory(), "wrong": wrong}))


if __name__ == "__main__":
    main()
