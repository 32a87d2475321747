"""Compares the rows of a store with each other: which stand more than once, and which almost do."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress

import numpy as np
import xxhash
from numpy.typing import NDArray

from core.base.files import write_atomic
from core.data.doctor import comparable_text, near_duplicates, near_leaks, rows_to_compare, whole_notes
from core.data.kinds import BITS
from core.data.measure import sample_rows
from core.data.store import PLACES_KEPT, Store, Tally, first_copies, later_copies

SEED = 42
_ASK_EVERY = 1000

Numbers = NDArray[np.int64]


def compare(store: Store, tick: Callable[[], None]) -> None:
    """Flag copies and near copies, note them and what stands out in the whole, and write the index anew.

    `tick` is called now and then while it goes on, and may raise to end it.
    """
    copies = later_copies(store.key)
    _note(store, "duplicates", [(int(row), _first_of(store, int(row))) for row in copies[:PLACES_KEPT]])
    _flag(store, "duplicates", copies)
    alone = np.setdiff1d(np.arange(len(store)), copies, assume_unique=True)
    numbers = alone[rows_to_compare(store.chars[alone], SEED)]
    pairs = near_duplicates(_texts(store, numbers, tick))
    store.near = numbers[np.array(pairs, np.int64).reshape(-1, 2)]
    later = np.unique(store.near[:, 0])
    _note(store, "near-duplicates", [(int(row), int(earlier)) for row, earlier in store.near[:PLACES_KEPT]])
    _flag(store, "near-duplicates", later)
    sample = sample_rows(np.arange(len(store)))
    store.summary.notes = dict(whole_notes(row.messages for row in store.read(sample)))
    store.save_index()


def leaked(store: Store, heldout: Store, numbers: Numbers, fixes: Collection[str] = ()) -> Numbers:
    """Those of these rows that also stand in the held-out data, or almost do; they must not be learned."""
    keys, kept_back = store.keys(fixes), heldout.keys(fixes)
    firsts = first_copies(np.concatenate([kept_back, keys[numbers]]))[len(kept_back) :]
    near = np.intersect1d(numbers, near_leaked(store, heldout), assume_unique=True)
    return np.union1d(numbers[firsts < len(kept_back)], near)


def near_leaked(store: Store, heldout: Store, tick: Callable[[], None] = lambda: None) -> Numbers:
    """Rows of `store` that are almost the same as one of `heldout`; noted beside the store for the next time.

    Of very many rows only a seeded sample is compared.
    """
    file = store.folder / f"leaks-{xxhash.xxh3_64_hexdigest(heldout.key.tobytes())}.npy"
    if file.is_file():
        return np.load(file, allow_pickle=False)
    mine, theirs = (rows_to_compare(part.chars, SEED) for part in (store, heldout))
    pairs = near_leaks(_texts(store, mine, tick), _texts(heldout, theirs, tick))
    rows = np.unique(mine[[row for row, _ in pairs]]) if pairs else np.empty(0, np.int64)
    content = io.BytesIO()
    np.save(content, rows)
    # without room on the disk it is worked out again the next time
    with suppress(OSError):
        write_atomic(file, content.getvalue())
    return rows


def _texts(store: Store, numbers: Numbers, tick: Callable[[], None]) -> Iterator[str]:
    for place, conversation in enumerate(store.read(numbers)):
        if place % _ASK_EVERY == 0:
            tick()
        yield comparable_text(conversation.messages)


def _first_of(store: Store, row: int) -> int:
    return int(np.flatnonzero((store.key == store.key[row]).all(axis=1))[0])


def _flag(store: Store, kind: str, rows: Numbers) -> None:
    store.flags[rows] |= np.uint64(BITS[kind])
    if len(rows):
        store.summary.tallies[kind].count = len(rows)


def _note(store: Store, kind: str, pairs: list[tuple[int, int]]) -> None:
    for row, earlier in pairs:
        tally = store.summary.tallies.setdefault(kind, Tally())
        tally.add(store.where(row), f"see {store.where(earlier)}")
