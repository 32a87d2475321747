"""Sets rows aside for the held-out loss: seeded, alike in length, and never the same row on both sides."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from core.data.store import Store, first_copies

FEWEST = 16
MOST = 512

Numbers = NDArray[np.int64]


def split_heldout(
    store: Store, numbers: Numbers, seed: int, share: float, fixes: Collection[str] = ()
) -> tuple[Numbers, Numbers]:
    """(train, held-out): the row numbers `numbers`, both sides rising.

    Held out are `share` of the rows, at least 16 and at most 512, but never more than half; none when
    `share` is 0. They are drawn evenly over the rows' lengths. Copies and near copies stay together on one
    side, so a few rows less may be held out.
    """
    groups = groups_of(store, numbers, fixes)
    lengths = store.chars[numbers]
    chosen = choose(groups, lengths, wanted(len(numbers), share), seed)
    return numbers[~chosen], numbers[chosen]


def choose(groups: NDArray[np.int64], lengths: NDArray[np.uint32], left: int, seed: int) -> NDArray[np.bool_]:
    """Which rows are held out: whole groups, at most `left` rows, drawn evenly over the lengths.

    groups: each row's group, named by any number. The groups are ordered by length and dealt out to as
    many equal shelves as rows are wanted; one group of each shelf is drawn.
    """
    chosen = np.zeros(len(groups), bool)
    if left <= 0:
        return chosen
    heads, first, sizes = np.unique(groups, return_index=True, return_counts=True)
    order = np.argsort(lengths[first], kind="stable")
    heads, sizes = heads[order], sizes[order]
    chance = random.Random(seed)
    taken = np.zeros(len(heads), bool)
    for place in _draw(len(heads), left, chance):
        if taken[place] or sizes[place] > left:
            continue
        taken[place] = True
        left -= int(sizes[place])
        if not left:
            break
    return np.isin(groups, heads[taken])


def _draw(groups: int, shelves: int, chance: random.Random) -> Iterator[int]:
    """One place of every shelf, the shelves in a random order; then, where these don't do, all by chance."""
    shelves = min(shelves, groups)
    borders = [groups * shelf // shelves for shelf in range(shelves + 1)]
    drawn = [chance.randrange(start, end) for start, end in zip(borders, borders[1:])]
    chance.shuffle(drawn)
    yield from drawn
    yield from chance.sample(range(groups), groups)


def groups_of(store: Store, numbers: Numbers, fixes: Collection[str] = ()) -> Numbers:
    """For each of these rows, a row that stands for all of its copies and near copies."""
    heads = first_copies(store.keys(fixes))
    joined: dict[int, int] = {}
    for row, earlier in heads[store.near].tolist():
        one, two = _head(joined, row), _head(joined, earlier)
        joined[max(one, two)] = min(one, two)
    final = np.arange(len(heads))
    for head in joined:
        final[head] = _head(joined, head)
    return final[heads][numbers]


def _head(joined: dict[int, int], row: int) -> int:
    while (above := joined.get(row, row)) != row:
        joined[row] = joined.get(above, above)
        row = above
    return row


def wanted(rows: int, share: float) -> int:
    """How many rows to hold out."""
    if not share:
        return 0
    return min(max(round(rows * share), FEWEST), MOST, rows // 2)
