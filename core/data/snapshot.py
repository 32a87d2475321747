"""The run's own copy of its data: train.jsonl, heldout.jsonl, report.json, written once.

Rows for the held-out loss are set aside by a seed, alike in length to the others, and never the same row (or
almost the same) on both sides.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.base.errors import UserError
from core.base.files import read_json, replacement, sha256_file, write_json
from core.data.compare import leaked
from core.data.measure import TokenTable
from core.data.report import counted
from core.data.report import report as judge
from core.data.shapes import Conversation
from core.data.store import RowFile, Store, first_copies, row_line

SNAPSHOT_REPORT = "report.json"
# how many rows are held out, whatever share is asked for; never more than half
FEWEST = 16
# and how many must then be left to train on
FEWEST_TRAINED = 24
MOST = 512
# some tenths of a second of work
_TICK_ROWS = 20_000
_PLACE = re.compile(r"[A-Z]\w* \d+ ")

Numbers = NDArray[np.int64]


def prepare_snapshot(
    folder: Path,
    store: Store,
    heldout: Store | None = None,
    *,
    share: float,
    seed: int,
    fixes: Collection[str] = (),
    max_length: int,
    tick: Callable[[float], None] = lambda share: None,
) -> None:
    """Hold out `share` of the data (or take the user's held-out file) and write both parts to `folder`.

    The report is written last and marks the snapshot complete. A UserError says why the data can't be used:
    a problem whose fix was not taken, or no row left to train on. `tick` hears now and then which share of
    the rows is written, and may raise to end it.
    """
    report = judge(store, max_length=max_length, fixes=fixes, heldout=heldout)
    if report.verdict == "reject":
        raise UserError(refusal(store, report.first_error))
    train, kept_back = split_rows(store, heldout, seed, share, fixes)
    measured = (heldout or store).mend(kept_back, fixes)
    folder.mkdir(parents=True, exist_ok=True)
    record = report.to_json()
    rows = _ticking(store.mend(train, fixes), len(train), tick)
    record["train"], record["train_sha256"] = _write(folder / "train.jsonl", rows)
    record["heldout"], record["heldout_sha256"] = _write(folder / "heldout.jsonl", measured)
    if heldout is not None:
        record["heldout_report"] = judge(heldout, max_length=max_length, fixes=fixes).to_json()
    write_json(folder / SNAPSHOT_REPORT, record)


def refusal(store: Store, sentence: str) -> str:
    """`sentence` with the name of the data's file in front, unless it names one already."""
    names = [file.name for file in store.summary.files]
    if not names or any(name in sentence for name in names):
        return sentence
    if _PLACE.match(sentence):
        return f"{names[0]}, {sentence[0].lower()}{sentence[1:]}"
    return f"{names[0]}: {sentence}"


def read_snapshot(folder: Path) -> tuple[RowFile, RowFile]:
    """(train, held-out) as `prepare_snapshot` wrote them.

    A UserError says when the copy is missing, incomplete or was changed.
    """
    report = read_report(folder)
    for name in ("train", "heldout"):
        path = folder / f"{name}.jsonl"
        if not path.is_file() or sha256_file(path) != report[f"{name}_sha256"]:
            raise UserError(f"{path} was changed or lost since the run began. Start a new run.")
    return RowFile(folder / "train.jsonl"), RowFile(folder / "heldout.jsonl")


def read_report(folder: Path) -> dict[str, Any]:
    """What `prepare_snapshot` noted: the report on the data, the rows of both parts, their SHA-256."""
    report = read_json(folder / SNAPSHOT_REPORT)
    if report is None:
        raise UserError(f"{folder} holds no complete copy of the data. Start a new run.")
    return report


def _ticking(
    rows: Iterable[Conversation], total: int, tick: Callable[[float], None]
) -> Iterator[Conversation]:
    for number, row in enumerate(rows):
        if number % _TICK_ROWS == 0:
            tick(number / total)
        yield row


def _write(path: Path, rows: Iterable[Conversation]) -> tuple[int, str]:
    """Write the rows as JSON lines, whole or not at all: how many, and the SHA-256 of what was written."""
    digest, count = hashlib.sha256(), 0
    with replacement(path) as temporary, open(temporary, "wb", buffering=1 << 20) as file:
        for row in rows:
            line = row_line(row)
            digest.update(line)
            file.write(line)
            count += 1
    return count, digest.hexdigest()


@dataclass(frozen=True, slots=True)
class FileRole:
    """What a file is: role “train”, “heldout” or “aside”; and the rows that were read in it."""

    name: str
    role: str
    rows: int

    @property
    def words(self) -> str:
        """“held out, 20 rows”."""
        is_what = {"train": "trained", "heldout": "held out", "aside": "left aside"}[self.role]
        return f"{is_what}, {counted(self.rows)}"


def files_of(store: Store, heldout: Store | None = None, aside: Store | None = None) -> list[FileRole]:
    """Every file of a run's data, and what it is."""
    stores = {"train": store, "heldout": heldout, "aside": aside}
    return [
        FileRole(file.name, role, file.rows)
        for role, one in stores.items()
        for file in (one.summary.files if one is not None else [])
    ]


@dataclass(frozen=True, slots=True)
class RowCounts:
    """How many rows a run trains and how many it holds out. `exact` is False where some were only sampled, or
    where no model is there to say whether all of them have something to learn.
    """

    train: int
    heldout: int
    exact: bool

    @property
    def words(self) -> str:
        """“24 train, 16 held out”."""
        heldout = f"{self.heldout:,}" if self.heldout else "none"
        return f"{'' if self.exact else 'about '}{self.train:,} train, {heldout} held out"


def count_rows(
    store: Store,
    heldout: Store | None = None,
    tokens: TokenTable | None = None,
    heldout_tokens: TokenTable | None = None,
    *,
    share: float,
    seed: int,
    fixes: Collection[str] = (),
    max_length: int,
) -> RowCounts:
    """The rows that the run will have: `prepare_snapshot`'s, without those with nothing to learn."""
    train, kept_back = _split_once(store, heldout, seed, share, tuple(fixes))
    measured = tokens if heldout is None else heldout_tokens
    trained, one = _learnable(train, len(store), tokens, max_length)
    held, two = _learnable(kept_back, len(heldout or store), measured, max_length)
    return RowCounts(trained, held, one and (two or not len(kept_back)))


@lru_cache(maxsize=4)
def _split_once(
    store: Store, heldout: Store | None, seed: int, share: float, fixes: tuple[str, ...]
) -> tuple[Numbers, Numbers]:
    """Of a million rows it takes seconds, and no maximum length changes it."""
    return split_rows(store, heldout, seed, share, fixes)


def _learnable(numbers: Numbers, rows: int, tokens: TokenTable | None, max_length: int) -> tuple[int, bool]:
    """(how many of these rows have something to learn, whether all were looked at)."""
    if tokens is None or not tokens.rows_measured:
        return len(numbers), False
    facts = tokens.at(max_length)
    if tokens.rows_measured < rows:
        return round(len(numbers) * facts.rows_kept / facts.rows_measured), False
    return len(np.setdiff1d(numbers, np.union1d(facts.lost, facts.zero))), True


def split_rows(
    store: Store, heldout: Store | None, seed: int, share: float, fixes: Collection[str] = ()
) -> tuple[Numbers, Numbers]:
    """(train, held-out): numbers of rows that the fixes leave, the second of `heldout` if there is one.

    Rows that also stand in `heldout` are not trained; without it a share of the rows is held out.
    """
    numbers = store.select(fixes)
    if heldout is None:
        return split_heldout(store, numbers, seed, share, fixes)
    train = np.setdiff1d(numbers, leaked(store, heldout, numbers, fixes))
    return train, heldout.select(fixes)


def split_heldout(
    store: Store, numbers: Numbers, seed: int, share: float, fixes: Collection[str] = ()
) -> tuple[Numbers, Numbers]:
    """(train, held-out): the row numbers `numbers`, both sides rising.

    Held out are `share` of the rows, at least 16 (a fifth of fewer than 40 rows) and at most 512, but never
    more than half; none when `share` is 0. They are drawn evenly over the rows' lengths. Copies and near
    copies stay together on one side, so a few rows less may be held out.
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
    """How many rows to hold out: the share, or as many as a loss needs while enough stay to learn from.

    Of a small set at most a fifth is taken, unless the share itself is larger.
    """
    if not share:
        return 0
    fewest = FEWEST if rows - FEWEST >= FEWEST_TRAINED else rows // 5
    return min(max(round(rows * share), fewest), MOST, rows // 2)
