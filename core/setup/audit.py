"""Finds packages that a killed pip left half-installed: pip itself would take them for installed."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path


def drop_damaged(site_packages: Path) -> list[str]:
    """Make pip forget every package with missing or cut files, and sweep its leftovers; their names.

    Only the `.dist-info` goes: the next `pip install` then writes all files of the package anew.
    """
    for leftover in site_packages.glob("~*"):
        shutil.rmtree(leftover, ignore_errors=True)
    damaged = [info for info in sorted(site_packages.glob("*.dist-info")) if not is_whole(info)]
    for info in damaged:
        shutil.rmtree(info)
    return [info.name.removesuffix(".dist-info") for info in damaged]


def is_whole(info: Path) -> bool:
    """Whether all files that the package's RECORD lists are there with their sizes."""
    record = info / "RECORD"
    # INSTALLER is written after the package's own files: without it pip was cut off
    if not record.is_file() or not (info / "INSTALLER").is_file() or not (info / "METADATA").is_file():
        return False
    with open(record, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    return bool(rows) and all(_as_recorded(info.parent, row) for row in rows)


def _as_recorded(folder: Path, row: list[str]) -> bool:
    name = row[0]
    if name.endswith((".pyc", ".pyi")):  # gradio rewrites its .pyi files when it is imported
        return True
    try:
        found = (folder / name).stat().st_size
    except OSError:
        return False
    return len(row) < 3 or not row[2] or found == int(row[2])
