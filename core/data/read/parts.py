"""Several files in one: a zip's data files and the lists of a JSON document, named as paths below it.

`set.zip/train.jsonl` and `set.json/train` are read like files, and their names say what they are for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from pathlib import Path, PurePosixPath

import numpy as np

from core.base.errors import UserError
from core.data.read.flow import BLOCK_BYTES, Flow, file_of, line_ends, zip_entries
from core.data.read.formats.json_document import ROW_LISTS, is_row
from core.data.read.head import ending_of
from core.data.read.json_list import TooDeep, brackets

Choose = Callable[[list[Path], Path], list[Path]]
PART_ENDINGS = (".zip", ".json", ".gz")
# a document is looked through as a whole, and one with more lists than these is rows under their ids
_LARGEST = 64 * 1024**2
_MOST_LISTS = 100
_KEY = re.compile(rb'"([^"\\]*)"\s*:\s*\Z')
_PLAIN_KEY = re.compile(r"[\w+()-](?:[\w .+()-]*[\w+()-])?")
_WORDS = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev", "eval", "evaluation", "heldout"), "heldout"),
    **dict.fromkeys(("test", "testing", "testset"), "test"),
}
# what stands behind a name: “-00000-of-00002”, “-v1.1”, the hash of an old hub file
_NUMBERED = re.compile(r"(?:[-_. ](?:[0-9a-f]{16}|v?\d+(?:[-_.]?of[-_.]?\d+)?))+$")


def split_of_name(name: str, whole: bool = False) -> str:
    """“train”, “heldout” or “test”, if the name of a file, folder or list says so, else nothing.

    whole: only if it says nothing else. Otherwise its first or last word may, as in “my_data.train.jsonl”.
    """
    stem = name.lower().removesuffix(".gz").removesuffix(".zip")
    if ending_of(stem) and ending_of(stem)[1:] not in _WORDS:
        stem = stem.removesuffix(ending_of(stem))
    stem = re.sub("held[-_. ]out", "heldout", _NUMBERED.sub("", stem))
    if whole:
        return _WORDS.get(stem, "")
    words = re.findall("[^\\W\\d_]+", stem) or [""]
    return _WORDS.get(words[-1], "") or _WORDS.get(words[0], "")


def parts_of(path: Path, choose: Choose) -> list[Path]:
    """The data files in a zip, the lists of rows of a JSON document; the path itself where it is one file.

    choose: those among files below a root that are data.
    """
    if ending_of(path.name.lower()) not in PART_ENDINGS:
        return [path]
    try:
        status = file_of(path).stat()
        return list(_parts(path, status.st_mtime_ns, status.st_size, choose))
    except (OSError, UserError):
        # reading it says what is wrong with it
        return [path]


def is_beside(path: Path) -> bool:
    """Whether it is a list of a document whose name is not one that rows usually have."""
    unusual = path.name.lower() not in ROW_LISTS and not split_of_name(path.name)
    return unusual and path.name in _lists(path.parent)


def open_flow(path: Path) -> Flow:
    """A flow over a file, or over the part of one that the path names. Raises UserError."""
    place = _lists(path.parent).get(path.name)
    if place is None:
        return Flow(path)
    with Flow(path.parent) as flow:
        raw = flow.read(_LARGEST + 1)
    start, end = place
    # as many empty lines as stand before it, so that what is said of a line is right
    return Flow(path, b"\n" * line_ends(raw[:start]) + raw[start:end])


@lru_cache(maxsize=4096)
def _parts(path: Path, modified: int, size: int, choose: Choose) -> tuple[Path, ...]:
    entries = [path / name for name in zip_entries(path)] if ending_of(path.name.lower()) == ".zip" else []
    inside = list(chain.from_iterable(parts_of(entry, choose) for entry in choose(entries, path)))
    if entries and (len(entries) > 1 or len(inside) > 1):
        return tuple(sorted(inside)) or (path,)
    return (path,) if entries else tuple(path / key for key in _lists(path)) or (path,)


def _lists(path: Path) -> dict[str, tuple[int, int]]:
    """Where each list of rows stands in a document with several; empty for any other file."""
    name = PurePosixPath(path.name.lower().removesuffix(".gz"))
    if ending_of(name.name) != ".json":
        return {}
    try:
        status = file_of(path).stat()
        return _found_lists(path, status.st_mtime_ns, status.st_size) if file_of(path).is_file() else {}
    except (OSError, UserError):
        return {}


@lru_cache(maxsize=4096)
def _found_lists(path: Path, modified: int, size: int) -> dict[str, tuple[int, int]]:
    with Flow(path) as flow:
        raw = flow.read(BLOCK_BYTES)
        try:
            if not raw.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") or _ends_early(raw):
                return {}
            while len(raw) <= _LARGEST and (more := flow.read(_LARGEST)):
                raw += more
            found = {} if len(raw) > _LARGEST or _ends_early(raw) else _row_lists(raw)
        except TooDeep:
            return {}
    # the hub's viewer lists the columns, called features, beside the rows
    if "rows" in found and b'"row_idx"' in raw:
        found.pop("features", None)
    named = any(split_of_name(key) or key.lower() in ROW_LISTS for key in found)
    # a key that is no name of a path can't stand for its list: reading then says that there are several
    plain = all(_PLAIN_KEY.fullmatch(key) for key in found)
    return found if len(found) > 1 and named and plain else {}


def _ends_early(raw: bytes) -> bool:
    """Whether more follows after the first object: then it is JSON lines, not one document."""
    places, depths = brackets(raw)
    closed = places[depths == 0]
    return len(closed) > 0 and bool(raw[int(closed[0]) + 1 :].strip())


def _row_lists(raw: bytes) -> dict[str, tuple[int, int]]:
    """(start, end) of each value that holds rows in the object that `raw` is, by its key."""
    places, depths = brackets(raw)
    before = np.concatenate(([0], depths[:-1]))
    opens, ends = np.flatnonzero((depths == 2) & (before == 1)), np.flatnonzero((depths == 1) & (before == 2))
    found: dict[str, tuple[int, int]] = {}
    if len(opens) != len(ends) or len(opens) > _MOST_LISTS:
        return found
    last = int(places[0]) + 1
    for first, close in zip(opens.tolist(), ends.tolist()):
        start, end = int(places[first]), int(places[close]) + 1
        key = _KEY.search(raw, last, start)
        last = end
        if key is None:
            return {}
        name = key[1].decode("utf-8", "replace")
        closing = np.flatnonzero(depths[first + 1 : close] == 2)
        if raw[start] == 0x7B:  # columns, or rows under ids
            holds_rows = bool(split_of_name(name))
        else:
            ended = first + 1 + int(closing[0]) if len(closing) else first
            holds_rows = ended > first and is_row(raw[start + 1 : int(places[ended]) + 1])
        if holds_rows:
            found[name] = (start, end)
    return found
