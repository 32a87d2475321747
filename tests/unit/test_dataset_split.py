"""The held-out split: seeded, within its bounds, alike in length, and no row on both sides."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.split import choose, groups_of, split_heldout, wanted
from core.data.store import Store
from tests.unit.datasets import pairs, store_of


@settings(max_examples=60)
@given(groups=st.lists(st.integers(0, 60), max_size=200), seed=st.integers(0, 5), share=st.floats(0, 0.5))
def test_groups_are_never_torn_and_bounds_are_kept(groups: list[int], seed: int, share: float) -> None:
    named = np.array([groups.index(group) for group in groups], np.int64)
    lengths = np.array([10 + group % 7 for group in groups], np.uint32)
    left = wanted(len(groups), share)
    chosen = choose(named, lengths, left, seed)
    assert not set(named[chosen]) & set(named[~chosen])
    assert chosen.sum() <= left <= len(groups) // 2
    assert np.array_equal(chosen, choose(named, lengths, left, seed))


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, 0), (1, 0), (2, 1), (10, 5), (32, 16), (100, 16), (320, 16), (1000, 50), (20_000, 512)],
)
def test_how_many_are_held_out(count: int, expected: int) -> None:
    rows = np.arange(count)
    assert wanted(count, 0.05) == expected
    assert choose(rows, rows.astype(np.uint32), expected, seed=1).sum() == expected


def test_groups_are_named_by_rows_that_others_were_left_out_before() -> None:
    """Rows keep their numbers when a fix leaves some out, so a name may be larger than the count."""
    assert choose(np.arange(50, 150), np.arange(100, dtype=np.uint32), 16, seed=1).sum() == 16


def test_no_share_holds_nothing_out() -> None:
    assert wanted(100, 0) == 0


def test_both_sides_have_short_and_long_rows() -> None:
    lengths = np.array(random.Random(3).choices(range(1000), k=1000), np.uint32)
    for seed in range(5):
        chosen = choose(np.arange(1000), lengths, 50, seed)
        drawn, all_of_them = np.sort(lengths[chosen]), np.sort(lengths)
        # one row of every twenty neighbours by length
        assert np.all(np.searchsorted(all_of_them, drawn, "right") >= np.arange(50) * 20)
        assert np.all(np.searchsorted(all_of_them, drawn, "left") < np.arange(1, 51) * 20)


def test_a_large_group_is_passed_over_and_others_take_its_place() -> None:
    groups = np.array([0] * 60 + list(range(60, 100)), np.int64)
    chosen = choose(groups, np.ones(100, np.uint32), 16, seed=2)
    assert chosen.sum() == 16 and not chosen[:60].any()


def test_copies_and_near_copies_stay_together(tmp_path: Path) -> None:
    long = "the quick brown fox jumps over the lazy dog while nobody at all looks on this fine day " * 2
    near = [{"question": "Tell me.", "answer": long + end} for end in ("indeed", "today", "ever so")]
    store = store_of(tmp_path, [*pairs(3), *near, pairs(1)[0]])
    groups = groups_of(store, np.arange(7))
    assert groups[0] == groups[6] and groups[3] == groups[4] == groups[5]
    assert len(set(groups)) == 4


def test_rows_that_a_fix_makes_alike_stay_together(tmp_path: Path) -> None:
    asked = [{"question": "Where?", "answer": f"Ask {name}@example.com about it."} for name in ("ann", "bob")]
    store = store_of(tmp_path, [*asked, *pairs(2)])
    assert len(set(groups_of(store, np.arange(4)))) == 4
    assert len(set(groups_of(store, np.arange(4), ["e-mail addresses"]))) == 3


@pytest.fixture
def hundred(tmp_path: Path) -> Store:
    return store_of(tmp_path, pairs(100))


def test_nothing_is_lost_and_another_seed_holds_out_others(hundred: Store) -> None:
    train, heldout = split_heldout(hundred, np.arange(100), 1, 0.05)
    assert len(heldout) == 16 and np.array_equal(np.union1d(train, heldout), np.arange(100))
    assert not np.array_equal(heldout, split_heldout(hundred, np.arange(100), 2, 0.05)[1])


def test_the_choice_does_not_touch_the_global_random_state(hundred: Store) -> None:
    random.seed(3)
    expected = random.random()
    random.seed(3)
    split_heldout(hundred, np.arange(100), 9, 0.05)
    assert random.random() == expected
