"""Data files for tests, and stores made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.data.scan import scan
from core.data.store import Store

FRUITS = ("apple", "pear", "plum", "quince", "cherry", "grape", "melon", "peach", "fig", "lemon")
PLACES = ("Lisbon", "Oslo", "Quito", "Hanoi", "Accra", "Lima", "Cairo", "Perth", "Turin", "Kyoto")


def answer(number: int) -> str:
    """An answer of a few words that is unlike those of the numbers around it."""
    fruit, place = FRUITS[number % 10], PLACES[number // 10 % 10]
    return f"{fruit} {number} grows near {place}, says gardener {number * 7}."


def pairs(count: int, first: int = 0) -> list[dict[str, Any]]:
    """So many different questions and answers."""
    return [
        {"question": f"Where does number {number} grow?", "answer": answer(number)}
        for number in range(first, first + count)
    ]


def big_rows(count: int) -> list[dict[str, Any]]:
    """Rows of 6 kB that are quick to compare."""
    long = "so and so " * 600
    return [{"question": f"What of {number}?", "answer": f"{number} is {long}"} for number in range(count)]


def write_rows(path: Path, rows: Iterable[Any]) -> Path:
    """One row a line; text is written as it is."""
    lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def store_of(folder: Path, rows: Iterable[Any], name: str = "data.jsonl", **options: Any) -> Store:
    """A store of these rows in `folder`/store-NAME."""
    return scan([write_rows(folder / name, rows)], folder / f"store-{name}", **options)
