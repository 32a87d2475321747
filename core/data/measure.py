"""Counts the tokens of rows once; what a maximum length makes of them is then known without encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import islice
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from core.base.errors import UserError
from core.base.files import replacement
from core.data.encoded import Encoded
from core.data.helpers import Helpers
from core.data.shapes import Conversation, Message
from core.data.tokenize import ChatTokenizer, is_text

# a sample says the percentiles to a few tokens in well under a second
SAMPLE = 2_000
SEED = 42
WHOLE_SHARE = 0.99
# below this many rows a process of its own takes longer to start than the work does
SMALL = 20_000
PROCESSES = 2
_BATCH = 256
_ROUND = 64
_REWRITTEN, _LOST, _TEXT = 1, 2, 4

Rows = NDArray[np.int64]
Counts = NDArray[np.int32]
Batch = list[tuple[int, list[Message]]]


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What a maximum length makes of the measured rows.

    total, trained: tokens of one epoch, cut at the maximum; rows that are left out don't count. p50 … max:
    lengths of whole rows. windows: the rows of one epoch, since longer plain text is cut into several.
    cut, lost, zero: numbers of the rows that are cut off, that lose their whole answer by that, and that have
    nothing to learn at any length.
    """

    rows_measured: int
    rows_kept: int
    total: int
    trained: int
    p50: int
    p95: int
    p99: int
    max: int
    windows: int
    cut: Rows
    lost: Rows
    zero: Rows


@dataclass(frozen=True, slots=True, eq=False)
class TokenTable:
    """The lengths of measured rows, one entry a row.

    row: its number; length: all its tokens; trained: those with a label. spans, start, end: row i trains the
    tokens from start[k] to end[k] for k in spans[i] … spans[i + 1]. flags: what else was noticed. reasons:
    why rows have nothing to learn; why: the row's place among them, -1 where it has something.
    """

    row: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    length: Counts = field(default_factory=lambda: np.zeros(0, np.int32))
    trained: Counts = field(default_factory=lambda: np.zeros(0, np.int32))
    spans: Rows = field(default_factory=lambda: np.zeros(1, np.int64))
    start: Counts = field(default_factory=lambda: np.zeros(0, np.int32))
    end: Counts = field(default_factory=lambda: np.zeros(0, np.int32))
    flags: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    why: Counts = field(default_factory=lambda: np.zeros(0, np.int32))
    reasons: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, np.str_))

    @property
    def rows_measured(self) -> int:
        return len(self.row)

    @property
    def rewritten(self) -> Rows:
        """The rows with earlier answers that the chat template rewrites."""
        return self.row[self.flags & _REWRITTEN > 0]

    @property
    def lost_characters(self) -> Rows:
        """The rows with characters that the model has no token for."""
        return self.row[self.flags & _LOST > 0]

    def reason(self, row: int) -> str:
        """Why a row has nothing to learn at any length; empty for others."""
        place = np.searchsorted(self.row, row)
        if place == len(self.row) or self.row[place] != row or self.why[place] < 0:
            return ""
        return str(self.reasons[self.why[place]])

    def trained_within(self, max_length: int) -> Counts:
        """How many tokens of each row are trained when it is cut at `max_length`."""
        kept = np.minimum(self.end, max_length) - np.minimum(self.start, max_length)
        sums = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
        trained = (sums[self.spans[1:]] - sums[self.spans[:-1]]).astype(np.int32)
        return np.where(self._is_text, self.trained, trained)

    @property
    def _is_text(self) -> NDArray[np.bool_]:
        """Which rows are plain text, of which nothing is cut off."""
        return self.flags & _TEXT > 0

    def at(self, max_length: int) -> TokenFacts:
        """What happens to these rows at `max_length`."""
        trained = self.trained_within(max_length)
        whole = self.length[self.length > 0]
        kept = np.where(self._is_text, self.length, np.minimum(self.length, max_length))
        # each window has its own first and last token
        windows = np.where(self._is_text, -(-self.length // max(1, max_length - 2)), 1)
        p50, p95, p99, longest = _percentiles(whole, (50, 95, 99, 100))
        return TokenFacts(
            rows_measured=len(self.row),
            rows_kept=int(np.count_nonzero(trained)),
            total=int(kept[trained > 0].sum(dtype=np.int64)),
            trained=int(trained.sum(dtype=np.int64)),
            p50=p50,
            p95=p95,
            p99=p99,
            max=longest,
            windows=int(windows[trained > 0].sum(dtype=np.int64)),
            cut=self.row[(self.length > max_length) & ~self._is_text],
            lost=self.row[(self.trained > 0) & (trained == 0)],
            zero=self.row[self.trained == 0],
        )

    def suggested_max_length(self) -> tuple[int, str]:
        """A maximum length that keeps 99 % of the rows whole, and why, as a sentence."""
        lengths = self.length[self.trained > 0]
        if not len(lengths):
            return _ROUND, "Nothing can be suggested: no row has anything to learn."
        needed, longest = _percentiles(lengths, (100 * WHOLE_SHARE, 100))
        length = max(_ROUND, -(-needed // _ROUND) * _ROUND)
        share = np.count_nonzero(lengths <= length) / len(lengths)
        if length >= longest:
            return length, f"{length:,} tokens keep every row whole; the longest has {longest:,}."
        kept = _percent(share)
        return length, f"{length:,} tokens keep {kept} of the rows whole; the longest has {longest:,}."

    def save(self, path: Path) -> None:
        """Write the table as .npz, aside first."""
        with replacement(path, flush=False) as temporary, open(temporary, "wb") as file:
            np.savez(file, **{item.name: getattr(self, item.name) for item in fields(self)})  # pyright: ignore[reportArgumentType]

    @classmethod
    def load(cls, path: Path) -> TokenTable:
        """The table in `path`. A UserError when there is none or it is damaged."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(**{item.name: arrays[item.name] for item in fields(cls)})
        except (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile) as error:
            raise UserError(f"The token counts in {path} can't be read. Count again.") from error


def sample_rows(rows: Rows, size: int = SAMPLE, seed: int = SEED) -> Rows:
    """`size` of the row numbers by chance, in order; all of them where there are no more."""
    if len(rows) <= size:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, size, replace=False))


def measure(
    tokenizer: ChatTokenizer,
    rows: Iterable[tuple[int, Conversation]],
    *,
    total: int = 0,
    say: Callable[[int], None] = lambda done: None,
    stop: Callable[[], object] = lambda: False,
) -> TokenTable:
    """Count the tokens of (number, row) pairs. `total` rows, if known: many get processes of their own.

    `say` hears how many rows are done. When `stop` says so, the table ends with the rows counted so far.
    """
    parts: list[TokenTable] = []
    done = 0
    try:
        with Helpers(PROCESSES if total > SMALL else 1) as helpers:
            for part in helpers.map(partial(_count, tokenizer), _batches(rows)):
                parts.append(part)
                done += part.rows_measured
                say(done)
                if stop():
                    break
    except BrokenProcessPool as error:
        raise UserError("Counting the tokens ended early, perhaps for want of memory. Try again.") from error
    return _joined(parts)


def _batches(rows: Iterable[tuple[int, Conversation]]) -> Iterator[Batch]:
    rest = iter(rows)
    while batch := [(number, row.messages) for number, row in islice(rest, _BATCH)]:
        yield batch


def _count(tokenizer: ChatTokenizer, batch: Batch) -> TokenTable:
    encoded = tokenizer.encode_many([messages for _, messages in batch])
    numbers = np.array([number for number, _ in batch], np.int64)
    spans = [span for row in encoded for span in row.spans]
    reasons = list(dict.fromkeys(row.reason for row in encoded if row.reason is not None))
    return TokenTable(
        row=numbers,
        length=np.array([row.length for row in encoded], np.int32),
        trained=np.array([row.trained for row in encoded], np.int32),
        spans=np.cumsum([0, *(len(row.spans) for row in encoded)], dtype=np.int64),
        start=np.array([start for start, _ in spans], np.int32),
        end=np.array([end for _, end in spans], np.int32),
        flags=np.array([_flags(row, one) for row, (_, one) in zip(encoded, batch)], np.uint8),
        why=np.array([-1 if row.reason is None else reasons.index(row.reason) for row in encoded], np.int32),
        reasons=np.array(reasons, np.str_),
    )


def _flags(encoded: Encoded, messages: list[Message]) -> int:
    text = is_text(messages) * _TEXT
    return (encoded.masked_turns > 0) * _REWRITTEN | bool(encoded.lost) * _LOST | text


def _joined(parts: list[TokenTable]) -> TokenTable:
    if not parts:
        return TokenTable()
    values = {
        item.name: np.concatenate([getattr(part, item.name) for part in parts])
        for item in fields(TokenTable)
        if item.name not in ("spans", "why", "reasons")
    }
    counts = np.concatenate([np.diff(part.spans) for part in parts])
    reasons = list(dict.fromkeys(reason for part in parts for reason in part.reasons.tolist()))
    place = {reason: number for number, reason in enumerate(reasons)}
    why = [
        np.array([*(place[reason] for reason in part.reasons.tolist()), -1], np.int32)[part.why]
        for part in parts
    ]
    return TokenTable(
        **values,
        spans=np.concatenate([[0], np.cumsum(counts)]),
        why=np.concatenate(why),
        reasons=np.array(reasons, np.str_),
    )


def _percentiles(lengths: Counts, shares: tuple[float, ...]) -> list[int]:
    """The smallest length that at least so many percent of the rows don't exceed."""
    if not len(lengths):
        return [0] * len(shares)
    ordered = np.sort(lengths)
    places = [max(0, int(np.ceil(len(ordered) * share / 100 - 1e-9)) - 1) for share in shares]
    return [int(ordered[place]) for place in places]


def _percent(share: float) -> str:
    """Rounded down: 99.96 % are not all."""
    return f"{np.floor(share * 1000) / 10:g}%"
