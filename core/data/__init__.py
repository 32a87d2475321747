"""Instruction data: read any common file, see it as messages, turn it into exactly what the model sees.

A file becomes rows (`read`), rows become messages (`shapes`) and are looked through (`doctor`); `scan` writes
them into a `store` once, and everything after that reads the store: `compare` (copies, leaks), `measure`
(tokens), `report` (problems with their rows, and the verdict), `sight` (rows to look at), `cleaned` and
`snapshot` (copies for people and for a run). `check` does all of it as a job and keeps the results.
`tokenize` renders the model's `template` in a `sandbox`, and `layout` tells what of it is trained.

Imports only `core.base`. A new kind of problem is a line in `kinds` and whoever notices it; a new file format
is a file in `read`; a standard chat template is an entry of `template.TEMPLATES`.
"""

from core.data.encoded import Encoded, Piece
from core.data.read import Table, preview_rows, read_rows
from core.data.shapes import Conversation
from core.data.snapshot import prepare_snapshot, read_report, read_snapshot
from core.data.tokenize import ChatTokenizer

__all__ = [
    "ChatTokenizer",
    "Conversation",
    "Encoded",
    "Piece",
    "Table",
    "prepare_snapshot",
    "preview_rows",
    "read_report",
    "read_rows",
    "read_snapshot",
]
