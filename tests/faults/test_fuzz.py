"""A fixed sample of mutated data files, each of which gets a verdict; `tests.faults.fuzz` makes thousands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.fuzz import try_file
from tests.faults.mutate import mutated

SEED = 2026
FILES = 320
PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_mutated_files_get_a_verdict(part: int, tmp_path: Path) -> None:
    failures = []
    for number in range(part, FILES, PARTS):
        verdict, failure = try_file(SEED, number, tmp_path)
        if failure is not None:
            failures.append(f"python -m tests.faults.fuzz --seed {SEED} --only {number}\n{failure.what}")
        assert verdict
    assert not failures, "\n".join(failures)


def test_a_mutated_file_is_the_same_every_time() -> None:
    assert [mutated(SEED, number) for number in range(40)] == [mutated(SEED, number) for number in range(40)]
