"""Rows that are almost the same: MinHash finds the candidates, a count of shared shingles decides."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from core.data.shapes import Message

ALIKE = 0.85
# 16 bands of 8: two texts that share 85 % of their shingles meet in one with 99 %, at 50 % with 6 %
_HASHES = 128
_BANDS = 16
_SEED = 42
# so many rows and letters are looked at within ten seconds; beyond, a seeded sample of them
MOST_ROWS = 100_000
MOST_LETTERS = 50_000_000
# a row longer than this is judged by its beginning
_MOST_WORDS = 4_000
# in scripts without spaces every letter stands for a word
_WORD = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+"
)
_ASCII_WORDS = bytes(ord(chr(place).lower()) if chr(place).isalnum() else 0x20 for place in range(128)) * 2
_WORDS_AT_ONCE = 500_000
# copies of one row are compared with so many earlier ones that were not copies themselves
_MOST_COMPARED = 8
_AT_ONCE = 5_000
# the rows met so far by the hash of a band
_Seen = dict[int, list[int]]


def comparable_text(messages: list[Message]) -> str:
    """What near-duplicates are judged by: without the system message, which all rows may share."""
    return "\n".join([message["content"] for message in messages if message["role"] != "system"])


def rows_to_compare(letters: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """Numbers of the rows to look at, ascending: all, or a seeded sample if they are too many or too long.

    letters: how many each row has. None where the library is missing (Python 3.10 on macOS).
    """
    count = len(letters) if find_spec("rensa") else 0
    if count <= MOST_ROWS and int(letters[:count].sum(dtype=np.int64)) <= MOST_LETTERS:
        return np.arange(count, dtype=np.int64)
    order = np.random.default_rng(seed).permutation(count)[:MOST_ROWS]
    within = np.cumsum(letters[order], dtype=np.int64) <= MOST_LETTERS
    return np.sort(order[within])


def near_duplicates(texts: Iterable[str]) -> list[tuple[int, int]]:
    """(row, the earlier row that it is almost the same as), in the order of the rows.

    Give every text once: exact copies are found with less work. The earlier row is never itself one of
    the near-duplicates, so leaving those out keeps one of each.
    """
    shingles = _Shingles(texts)
    seen: _Seen = defaultdict(list)
    pairs = []
    for row, bands in _meetings(shingles):
        twin = shingles.twin_of(row, seen, bands)
        if twin is None:
            _remember(row, seen, bands)
        else:
            pairs.append((row, twin))
    return pairs


def near_leaks(train: Iterable[str], heldout: Iterable[str]) -> list[tuple[int, int]]:
    """(row of the training set, row of the held-out set that it is almost the same as)."""
    heldout = list(heldout)
    shingles = _Shingles(chain(heldout, train))
    seen: _Seen = defaultdict(list)
    leaks = []
    for row, bands in _meetings(shingles):
        if row < len(heldout):
            _remember(row, seen, bands)
            continue
        twin = shingles.twin_of(row, seen, bands)
        if twin is not None:
            leaks.append((row - len(heldout), twin))
    return leaks


def _remember(row: int, seen: _Seen, bands: list[int]) -> None:
    for band in bands:
        if len(seen[band]) < _MOST_COMPARED:
            seen[band].append(row)


class _Shingles:
    """Every text as hashes of its runs of three words, all in one array; repeated ones stay repeated."""

    def __init__(self, texts: Iterable[str]) -> None:
        chunks = [np.empty(0, np.uint64)]
        counts: list[int] = []
        words: list[int] = []
        lengths: list[int] = []
        for text in texts:
            own = list(map(xxh3_64_intdigest, _words(text)))
            own.extend([0] * (3 - len(own)) if own else ())
            words.extend(own)
            lengths.append(len(own))
            if len(words) >= _WORDS_AT_ONCE:
                chunks.append(_hashed(words, lengths))
                counts.extend(lengths)
                words, lengths = [], []
        chunks.append(_hashed(words, lengths))
        counts.extend(lengths)
        self.hashes = np.concatenate(chunks)
        self.ends = np.cumsum([0, *(max(count - 2, 0) for count in counts)], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def row(self, row: int) -> NDArray[np.uint64]:
        return self.hashes[self.ends[row] : self.ends[row + 1]]

    def twin_of(self, row: int, seen: _Seen, bands: list[int]) -> int | None:
        """The first row met in a band that truly shares enough with this one."""
        met = sorted({other for band in bands for other in seen.get(band, ())})
        return next((other for other in met if self.alike(row, other)), None)

    def alike(self, one: int, two: int) -> bool:
        """Whether the two sets of shingles have 85 % in common (their true Jaccard similarity)."""
        first, second = np.unique(self.row(one)), np.unique(self.row(two))
        if min(len(first), len(second)) < ALIKE * max(len(first), len(second)):
            return False
        shared = len(np.intersect1d(first, second, assume_unique=True))
        return shared >= ALIKE * (len(first) + len(second) - shared)


def _words(text: str) -> list[bytes]:
    raw = text.encode("utf-8", "surrogatepass")
    if text.isascii():
        raw = raw.translate(_ASCII_WORDS)
    else:
        raw = "\n".join(_WORD.findall(text.casefold())).encode()
    return raw.split(None, _MOST_WORDS)[:_MOST_WORDS]


def _hashed(words: list[int], lengths: list[int]) -> NDArray[np.uint64]:
    """64-bit hashes of the runs of three words in texts of these lengths, none across two texts."""
    if not words:
        return np.empty(0, np.uint64)
    numbers = np.array(words, dtype=np.uint64)
    mixed = numbers[:-2] * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29)) ^ numbers[1:-1]) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(32)) ^ numbers[2:]) * np.uint64(0x94D049BB133111EB)
    whole = np.ones(len(numbers), dtype=bool)
    ends = np.cumsum(lengths)[np.array(lengths) > 0]
    whole[ends - 1] = whole[ends - 2] = False
    return (mixed ^ (mixed >> np.uint64(31)))[whole[:-2]]


def _meetings(shingles: _Shingles) -> Iterator[tuple[int, list[int]]]:
    """(row, the hashes of its bands) for every row that shares a band with another row, in order."""
    from rensa.rensa import RMinHashLSH

    if not len(shingles):
        return
    index = RMinHashLSH(ALIKE, _HASHES, _BANDS)
    meets = np.array(index.query_duplicate_flags_matrix_one_shot(_signatures(shingles.hashes, shingles.ends)))
    rows = np.flatnonzero(meets & (np.diff(shingles.ends) > 0))
    for start in range(0, len(rows), _AT_ONCE):
        chosen = rows[start : start + _AT_ONCE].tolist()
        sets = [shingles.row(row) for row in chosen]
        ends = np.cumsum([0, *map(len, sets)])
        signatures = np.array(_signatures(np.concatenate(sets), ends).to_rows(), dtype=np.uint64)
        yield from zip(chosen, _bands(signatures).tolist(), strict=True)


def _signatures(hashes: NDArray[np.uint64], ends: NDArray[np.int64]) -> Any:
    from rensa.rensa import RMinHash

    return RMinHash.digest_matrix_from_flat_token_hashes(hashes, ends.astype(np.uint64), _HASHES, _SEED)


def _bands(signatures: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One hash for each band of each row; the place of the band is part of it."""
    parts = signatures.reshape(len(signatures), _BANDS, -1)
    hashes = np.broadcast_to(np.arange(_BANDS, dtype=np.uint64), parts.shape[:2])
    for place in range(parts.shape[2]):
        hashes = (hashes ^ (hashes >> np.uint64(29)) ^ parts[:, :, place]) * np.uint64(0x9E3779B97F4A7C15)
    return hashes
