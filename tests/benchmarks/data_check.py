"""How fast and how lean the data check is, beside `datasets.load_dataset` on the same files.

    python -m tests.benchmarks.data_check                     10^4, 10^5 and 10^6 rows
    python -m tests.benchmarks.data_check --rows 10000 100000

Rows of about 600 bytes (instruction, input, output), all different, one in a hundred twice. Each run is a
process of its own; its peak memory is that of the whole process tree, counted in shared pages once (PSS)
where the system tells that. `datasets` reads and converts only: it checks nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil

from core.base.home import APP_FOLDER

TARGET_S, TARGET_BYTES = 45.0, 10**9
_CHECK = (
    "import sys; from pathlib import Path; from core.data.scan import scan\n"
    "if __name__ == '__main__':\n"
    "    store = scan([Path(sys.argv[1])], Path(sys.argv[2]) / 'store')\n"
    "    print(store.summary.rows_read, len(store))\n"
)
_DATASETS = (
    "import sys; from datasets import load_dataset\n"
    "rows = load_dataset('json', data_files=sys.argv[1], split='train', cache_dir=sys.argv[2])\n"
    "print(len(rows))\n"
)
_WAYS = {"check": _CHECK, "datasets": _DATASETS}


@dataclass(frozen=True)
class Measured:
    """One run: its wall-clock seconds and the highest memory of its process tree."""

    seconds: float
    peak: int


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    args = parser.parse_args()
    print("| rows | MB | check s | rows/s | peak MB | datasets s | rows/s | peak MB | check ÷ datasets |")
    print("|---|---|---|---|---|---|---|---|---|")
    kept = True
    for rows in args.rows:
        with tempfile.TemporaryDirectory(prefix="data-check-") as name:
            path = Path(name) / "rows.jsonl"
            write_rows(path, rows)
            check, datasets = (measure(way, path, Path(name)) for way in _WAYS)
            kept &= rows < 10**6 or (check.seconds <= TARGET_S and check.peak <= TARGET_BYTES)
            cells = [
                f"{rows:,}",
                f"{path.stat().st_size / 1e6:.0f}",
                *_cells(check, rows),
                *_cells(datasets, rows),
            ]
            print("| " + " | ".join([*cells, f"{check.seconds / datasets.seconds:.1f}"]) + " |", flush=True)
    return 0 if kept else 1


def _cells(measured: Measured, rows: int) -> list[str]:
    return [f"{measured.seconds:.1f}", f"{rows / measured.seconds:,.0f}", f"{measured.peak / 1e6:.0f}"]


def measure(way: str, path: Path, folder: Path) -> Measured:
    """Run one way of reading `path` in a process of its own and watch it."""
    script = folder / f"run_{way}.py"
    script.write_text(_WAYS[way], "utf-8")
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, str(script), str(path), str(folder / way)],
        env={**os.environ, "PYTHONPATH": str(APP_FOLDER), "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, _memory(process.pid))
        time.sleep(0.05)
    seconds = time.monotonic() - began
    if process.returncode != 0:
        said = process.stderr.read().decode("utf-8", "replace") if process.stderr else ""
        raise SystemExit(f"{way} ended with {process.returncode}:\n{said}")
    return Measured(seconds, peak)


def _memory(pid: int) -> int:
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                found = one.memory_full_info()
                total += getattr(found, "pss", 0) or found.rss
    return total


def write_rows(path: Path, count: int) -> None:
    """Write `count` rows of about 600 bytes."""
    with open(path, "wb", buffering=1 << 20) as file:
        last = b""
        for number, row in enumerate(_rows(count)):
            last = last if number % 100 == 99 else orjson.dumps(row) + b"\n"
            file.write(last)


def _rows(count: int) -> Iterator[dict[str, str]]:
    chance = random.Random(7)
    letters = "eeeeaaaiioouutnshrdlcmwfgypbvk"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(20_000)]
    for _ in range(count):
        asked = " ".join(chance.choices(words, k=chance.randint(6, 24)))
        answered = " ".join(chance.choices(words, k=chance.randint(30, 110)))
        yield {"instruction": f"{asked.capitalize()}?", "input": "", "output": f"{answered.capitalize()}."}


if __name__ == "__main__":
    sys.exit(main())
