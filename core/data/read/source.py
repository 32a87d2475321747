"""Opens a data file whatever it is, and gives its rows as a stream of blocks; folders become their files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.files import sha256_file
from core.data.read.csv_table import csv_blocks
from core.data.read.encoding import decode_head, encoding_of, utf8_pieces
from core.data.read.json_document import document_blocks
from core.data.read.json_lines import lines_blocks
from core.data.read.packed import Flow
from core.data.read.parquet import MAGIC, parquet_blocks
from core.data.read.plain_text import text_blocks
from core.data.read.rows import LONGEST_FIELD, Block, Row, Table, Unreadable
from core.data.read.sniff import (
    HEAD_BYTES,
    TEXT_ENDINGS,
    Format,
    ending_of,
    refuse_binary,
    refuse_foreign,
    text_format,
)

DATA_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
_PACKED_ENDINGS = (".gz", ".zip")
# what lies beside the data in a folder from a hub
_ABOUT = ("readme", "license", "licence", "notice", "changelog", "dataset_info", "dataset_infos", "state")
_UNREADABLE_IN_PREVIEW = 1000
_OBJECT = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\x00\s]*\{")
_SPACE = b"\0 \t\r\n"  # the zero is half of each in UTF-16


@dataclass
class Source:
    """A data file and what it was found to be.

    packed: “”, “gzip” or “zip”. encoding: “utf-8”, “utf-8-bom”, “utf-16”, or “” for Parquet. delimiter: of
    CSV, else “”. size: bytes on disk.
    """

    path: Path
    format: Format
    encoding: str
    packed: str
    size: int
    delimiter: str = ""
    _sha256: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        return self.path.name

    def blocks(self) -> Iterator[Block]:
        """The file from its beginning, in order. UserError where nothing that follows can be trusted."""
        with Flow(self.path) as flow:
            yield from self._blocks(flow)
            self._sha256 = flow.sha256()

    @property
    def sha256(self) -> str:
        """Hash of the bytes on disk; made while `blocks` reads them, now if it has not."""
        self._sha256 = self._sha256 or sha256_file(self.path)
        return self._sha256

    def _blocks(self, flow: Flow) -> Iterator[Block]:
        if self.format == "parquet":
            return parquet_blocks(flow)
        pieces = utf8_pieces(flow, self.encoding)
        if self.format == "jsonl":
            return lines_blocks(pieces)
        if self.format == "json":
            return document_blocks(pieces, self.name)
        if self.format == "csv":
            return csv_blocks(pieces, self.name, self.delimiter)
        return text_blocks(pieces)


def open_source(path: Path) -> Source:
    """Look at the beginning of a file and say what it is. Raises UserError for what is no dataset."""
    with Flow(path) as flow:
        head = _head(flow)
        refuse_foreign(path.name, flow.inner, head)
        if head.startswith(MAGIC):
            return Source(path, "parquet", "", flow.packed, flow.size)
        encoding = encoding_of(head)
        if encoding != "utf-16":
            refuse_binary(path.name, head)
        start = decode_head(head, encoding)
        while not start.strip():
            head = flow.read(HEAD_BYTES)
            if not head:
                raise UserError(f"{path.name} is empty. Choose a file with at least one row.")
            start = decode_head(head, encoding)
        whole = not flow.read(1)
        found, delimiter = text_format(path.name, flow.inner, start, whole)
        return Source(path, found, encoding, flow.packed, flow.size, delimiter)


def _head(flow: Flow) -> bytes:
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
    return (row for block in source.blocks() for row in block.rows())


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

    Texts (.txt, .md) count in a folder that has no other data: beside data they tell about it.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = _data_files(path)
            if not found:
                raise UserError(
                    f"{path} holds no data files ({', '.join(DATA_ENDINGS)}, .txt, .md; also .gz, .zip). "
                    "Choose another."
                )
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise UserError(f"{path} can't be read: there is no such file. Check the path.")
    if not files:
        raise UserError("No file was chosen. Choose a data file or a folder that holds some.")
    return list(dict.fromkeys(files))


def _data_files(folder: Path) -> list[Path]:
    inside = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _is_hidden(path, folder)]
    inside = [path for path in inside if path.name.split(".")[0].lower() not in _ABOUT]
    data = [path for path in inside if _ending(path) in DATA_ENDINGS + _PACKED_ENDINGS]
    return data or [path for path in inside if _ending(path) in TEXT_ENDINGS]


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)


def _ending(path: Path) -> str:
    """The ending that counts: “.csv” of “a.csv.gz”, “.zip” of “a.zip”."""
    name = path.name.lower()
    inner = ending_of(name.removesuffix(".gz"))
    return ending_of(name) if ending_of(name) == ".zip" or not inner else inner
