"""Reads any common data file into rows that know where they stood. The content decides, not the ending.

`open_source(path)` looks at the beginning and refuses what is no dataset; `Source.blocks()` streams it in
pieces that another process can parse. Values stay as they were written. A row that can't be read is told as
`Unreadable` and the next one is read; where nothing after a fault can be trusted, a UserError says so.
"""

from core.data.read.json_values import WrittenNumber, parse_json
from core.data.read.rows import Block, Row, Table, Unreadable
from core.data.read.source import DATA_ENDINGS, Source, expand, open_source, preview_rows, read_rows

__all__ = [
    "DATA_ENDINGS",
    "Block",
    "Row",
    "Source",
    "Table",
    "Unreadable",
    "WrittenNumber",
    "expand",
    "open_source",
    "parse_json",
    "preview_rows",
    "read_rows",
]
