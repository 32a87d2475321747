"""Writes the whole corpus into a folder: `python -m tests.corpus.make FOLDER`."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.corpus import (
    encodings,
    foreign,
    json_broken,
    json_files,
    packed,
    parquet_files,
    shapes,
    tables,
    texts,
    turns,
    wholes,
)
from tests.corpus.case import Case

PARTS = (
    encodings,
    json_files,
    json_broken,
    tables,
    parquet_files,
    packed,
    foreign,
    shapes,
    turns,
    texts,
    wholes,
)
# a file name says which part it is from: “tables/semicolons.csv”
CASES: dict[str, Case] = {
    f"{part.__name__.rsplit('.', 1)[1]}/{case.file}": case for part in PARTS for case in part.CASES
}


def write(name: str, folder: Path) -> Path:
    """Write the case `name`, and its held-out file beside it, below `folder`; the path of the case's file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    case = CASES[name]
    path.write_bytes(case.bytes())
    if case.heldout is not None:
        heldout_path(path).write_bytes(case.heldout)
    return path


def heldout_path(path: Path) -> Path:
    """Where a case's held-out file stands."""
    return path.with_name(path.name + ".heldout")


def main() -> None:
    parser = argparse.ArgumentParser(description="the corpus of data files, with their golden verdicts")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, case in CASES.items():
        path = write(name, folder)
        print(f"{case.verdict:7} {path.stat().st_size:>10,}  {name}")


if __name__ == "__main__":
    main()
