"""Reads any common data file into rows that know where they stood. The content decides, not the ending.

`open_source(path)` looks at the beginning and refuses what is no dataset; `Source.blocks()` streams it in
pieces that another process can parse. Values stay as they were written. A row that can't be read is told as
`Unreadable` and the next one is read; where nothing after a fault can be trusted, a UserError says so.

A zip of several files and a JSON document with several lists are files below it (`parts`); which files are
trained and which are held out is decided by their names (`splits`).

It imports core.base only. A further file format is a file in `formats`; what is refused by its first bytes
stands in `head`.
"""

from core.data.read.flow import PACKED_ENDINGS, Note, file_of
from core.data.read.folder import list_again
from core.data.read.formats import Block, Row, Unreadable, all_formats
from core.data.read.source import (
    DATA_ENDINGS,
    FORMAT_TITLES,
    TEXT_ENDINGS,
    Source,
    Table,
    expand,
    open_source,
    preview_rows,
    read_rows,
    size_of,
)
from core.data.read.splits import Split, split_files
from core.data.read.strict_json import WrittenNumber, parse_json

__all__ = [
    "DATA_ENDINGS",
    "FORMAT_TITLES",
    "PACKED_ENDINGS",
    "TEXT_ENDINGS",
    "Block",
    "Note",
    "Row",
    "Source",
    "Split",
    "Table",
    "Unreadable",
    "WrittenNumber",
    "all_formats",
    "expand",
    "file_of",
    "list_again",
    "open_source",
    "parse_json",
    "preview_rows",
    "read_rows",
    "size_of",
    "split_files",
]
