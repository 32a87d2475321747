"""The held-out split: seeded, within its bounds, and no row on both sides."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dataset import Conversation, split_heldout
from core.dataset.split import content_key, without_shared


def row(text: str, where: str = "") -> Conversation:
    return Conversation([{"role": "user", "content": text}, {"role": "assistant", "content": "a"}], where)


def rows(count: int) -> list[Conversation]:
    return [row(f"question {number}", f"line {number}") for number in range(count)]


@given(texts=st.lists(st.integers(0, 60), max_size=200), seed=st.integers(0, 5), share=st.floats(0, 0.5))
def test_nothing_is_lost_and_nothing_straddles(texts: list[int], seed: int, share: float) -> None:
    everything = [row(str(text), f"line {place}") for place, text in enumerate(texts)]
    train, heldout = split_heldout(everything, seed, share)
    places = [entry.where for entry in everything]
    assert sorted(train + heldout, key=lambda entry: places.index(entry.where)) == everything
    assert [entry for entry in everything if entry in train] == train
    assert not {content_key(entry) for entry in train} & {content_key(entry) for entry in heldout}
    assert len(heldout) <= len(everything) // 2
    assert split_heldout(everything, seed, share) == (train, heldout)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, 0), (1, 0), (2, 1), (10, 5), (32, 16), (100, 16), (320, 16), (1000, 50), (20_000, 512)],
)
def test_how_many_are_held_out(count: int, expected: int) -> None:
    train, heldout = split_heldout(rows(count), seed=1)
    assert (len(heldout), len(train)) == (expected, count - expected)


def test_no_share_holds_nothing_out() -> None:
    assert split_heldout(rows(100), seed=1, share=0) == (rows(100), [])


def test_another_seed_holds_out_others() -> None:
    assert split_heldout(rows(200), seed=1)[1] != split_heldout(rows(200), seed=2)[1]


def test_the_choice_does_not_touch_the_global_random_state() -> None:
    random.seed(3)
    expected = random.random()
    random.seed(3)
    split_heldout(rows(50), seed=9)
    assert random.random() == expected


def test_rows_of_a_heldout_file_leave_the_training_rows() -> None:
    kept, shared = without_shared(
        [row("a", "line 1"), row("b", "line 2"), row("a", "line 3")], [row("a", "x")]
    )
    assert [entry.where for entry in kept] == ["line 2"]
    assert [entry.where for entry in shared] == ["line 1", "line 3"]
