"""Recognises the shape of instruction data, row by row, and turns every row into messages."""

from core.dataset.shapes.mapping import ROLES_OF_COLUMNS, check_mapping, guess_columns
from core.dataset.shapes.outcome import Conversation, Message, Recognised, Refused
from core.dataset.shapes.recognise import recognise

__all__ = [
    "ROLES_OF_COLUMNS",
    "Conversation",
    "Message",
    "Recognised",
    "Refused",
    "check_mapping",
    "guess_columns",
    "recognise",
]
