"""Opens a data file whatever it is, and gives its rows as a stream of blocks; folders become their files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.looks import kind_of, look
from core.data.read.flow import PACKED_ENDINGS, Flow, Note, decode_head, encoding_of, file_of
from core.data.read.folder import files_below
from core.data.read.formats import (
    LONGEST_FIELD,
    Block,
    Format,
    Row,
    TextFormat,
    Unreadable,
    all_formats,
)
from core.data.read.gathered import gathered
from core.data.read.head import HEAD_BYTES, Head, ending_of, refuse_binary, refuse_foreign
from core.data.read.parts import PART_ENDINGS, open_flow, parts_of

# the endings of files that are data wherever they lie, and of texts, which beside data tell about it
DATA_ENDINGS = tuple(ending for kind in all_formats() if not kind.prose for ending in kind.endings)
TEXT_ENDINGS = tuple(ending for kind in all_formats() if kind.prose for ending in kind.endings)
# “JSONL, JSON, CSV, Parquet or plain text”
FORMAT_TITLES = " or ".join(", ".join(kind.title for kind in all_formats()).rsplit(", ", 1))
_PROMISED = {ending: kind.name for kind in all_formats() for ending in kind.endings}
# what lies beside the data in a folder from a hub
_ABOUT = ("readme", "license", "licence", "notice", "changelog", "dataset_info", "dataset_infos")
_ABOUT += ("dataset_dict", "state")
_UNREADABLE_IN_PREVIEW = 1000
_OBJECT = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\x00\s]*\{")
_SPACE = b"\0 \t\r\n"  # the zero is half of each in UTF-16


@dataclass
class Source:
    """A data file and what it was found to be.

    packed: “”, “gzip” or “zip”. encoding: “utf-8”, “utf-8-bom”, “utf-16”, or “” where it isn't text; once
    `blocks` has read all, the one that was guessed where it is another. size: bytes on disk.
    """

    path: Path
    format: Format
    encoding: str
    packed: str
    size: int
    _sha256: str = field(default="", repr=False)

    def blocks(self) -> Iterator[Block]:
        """The file from its beginning, in order. UserError where nothing that follows can be trusted."""
        with open_flow(self.path) as flow:
            yield from gathered(iter(self.format.blocks(flow, self.encoding)))
            self._sha256 = flow.sha256()
            self.encoding = flow.encoding or self.encoding

    @property
    def sha256(self) -> str:
        """Hash of the bytes on disk; made while `blocks` reads them, now if it has not."""
        if not self._sha256:
            with open_flow(self.path) as flow:
                self._sha256 = flow.sha256()
        return self._sha256


@dataclass(frozen=True, slots=True)
class Table:
    """The first rows as text, for a table on the page: one list of cells and one place per row."""

    columns: list[str]
    rows: list[list[str]]
    where: list[str]


def open_source(path: Path) -> Source:
    """Look at the beginning of a file and say what it is. Raises UserError for what is no dataset."""
    with open_flow(path) as flow:
        raw = _first_bytes(flow)
        ending = ending_of(flow.inner)
        head = Head(path.name, ending, _PROMISED.get(ending, ""), raw)
        for kind in all_formats():
            if not isinstance(kind, TextFormat) and (matched := kind.match(head)):
                return Source(path, matched, "", flow.packed, flow.size)
        refuse_foreign(head)
        encoding = encoding_of(raw)
        if encoding != "utf-16":
            refuse_binary(path.name, raw, FORMAT_TITLES)
        text = decode_head(raw, encoding)
        while not text.strip():
            raw = flow.read(HEAD_BYTES)
            if not raw:
                raise UserError(f"{path.name} is empty. Choose a file with at least one row.")
            text = decode_head(raw, encoding)
        head = replace(head, text=text, whole=not flow.read(1))
        matches = (kind.match(head) for kind in all_formats() if isinstance(kind, TextFormat))
        return Source(path, next(filter(None, matches)), encoding, flow.packed, flow.size)


def _first_bytes(flow: Flow) -> bytes:
    """The first bytes; of an object, up to its second line, which tells JSONL from a document."""
    head = flow.read(HEAD_BYTES)
    while _OBJECT.match(head) and not _has_two_lines(head) and len(head) <= LONGEST_FIELD:
        more = flow.read(len(head))
        if not more:
            break
        head += more
    return head


def _has_two_lines(head: bytes) -> bool:
    start = head.lstrip(_SPACE)
    ends = [place for place in (start.find(b"\n"), start.find(b"\r")) if place >= 0]
    return bool(ends) and bool(start[min(ends) :].strip(_SPACE))


def read_rows(path: Path) -> Iterator[Row | Unreadable]:
    """The file's rows in order, those that can't be read too."""
    source = open_source(path)
    return (item for block in source.blocks() for item in block.rows() if not isinstance(item, Note))


def preview_rows(path: Path, n: int = 20) -> Table:
    """The first `n` readable rows with every cell as text, columns in the order of their first appearance."""
    looked_at = islice(read_rows(path), n + _UNREADABLE_IN_PREVIEW)
    rows = list(islice((row for row in looked_at if isinstance(row, Row)), n))
    columns = list(dict.fromkeys(column for row in rows for column in row.data))
    cells = [[_cell(row.data.get(column)) for column in columns] for row in rows]
    return Table(columns, cells, [row.where for row in rows])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def expand(paths: Iterable[Path]) -> list[Path]:
    """The files to read: folders become the data files in them, sorted; each file stands once.

    So do zip archives, and JSON documents with several lists of rows (`parts`). Texts count in a folder that
    has no other data: beside data they tell about it. A UserError says what can't be read, or takes too long
    to be listed; this may be asked by a page.
    """
    files: list[Path] = []
    answered: set[Path] = set()
    for path in paths:
        # of many files only the first of each folder may have to be waited for
        kind = "file" if path.parent in answered and path.is_file() else kind_of(path)
        answered.add(path.parent)
        if kind == "folder":
            inside = look(path, partial(_data_files, path))
            if not inside:
                endings, packed = ", ".join(DATA_ENDINGS + TEXT_ENDINGS), ", ".join(PACKED_ENDINGS)
                raise UserError(f"{path} holds no data files ({endings}; also {packed}). Choose another.")
            files += inside
        elif kind or file_of(path) != path:
            files.append(path)
        else:
            raise UserError(f"{path} can't be read: there is no such file. Check the path.")
    if not files:
        raise UserError("No file was chosen. Choose a data file or a folder that holds some.")
    holders = [file for file in files if ending_of(file.name.lower()) in PART_ENDINGS]
    parts: dict[Path, list[Path]] = {}
    if holders:
        parts = look(holders[0], lambda: {file: parts_of(file, _data_among) for file in holders})
    return list(dict.fromkeys(part for file in files for part in parts.get(file, [file])))


def size_of(path: Path) -> int:
    """Bytes on disk of a file, or of the part of one that the path names; 0 if it can't be read."""
    with suppress(UserError, OSError):
        if path.exists():
            return path.stat().st_size
        with open_flow(path) as flow:
            return flow.size
    return 0


def _data_files(folder: Path) -> list[Path]:
    return _data_among(files_below(folder), folder)


def _data_among(paths: list[Path], root: Path) -> list[Path]:
    """Those of the files below `root` that are data."""
    inside = [path for path in paths if not _is_hidden(path, root)]
    inside = [path for path in inside if not _is_about(path.name.lower())]
    data = [path for path in inside if _inner_ending(path) in DATA_ENDINGS + PACKED_ENDINGS]
    return data or [path for path in inside if _inner_ending(path) in TEXT_ENDINGS]


def _is_about(name: str) -> bool:
    """Whether a file tells about the data, or is what `datasets` keeps beside it to work faster."""
    return name.split(".")[0] in _ABOUT or (name.startswith("cache-") and name.endswith(".arrow"))


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)


def _inner_ending(path: Path) -> str:
    """The ending that counts: “.csv” of “a.csv.gz”, “.zip” of “a.zip”."""
    name = path.name.lower()
    inner = ending_of(name.removesuffix(".gz"))
    return ending_of(name) if ending_of(name) == ".zip" or not inner else inner
