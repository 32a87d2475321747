"""Instruction data: read any common file, see it as messages, turn it into exactly what the model sees."""

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
