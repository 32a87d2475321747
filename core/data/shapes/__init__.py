"""Recognises the shape of instruction data, row by row, and turns every row into messages."""

from core.data.shapes.mapping import ROLES_OF_COLUMNS, check_mapping, guess_columns
from core.data.shapes.names import may_matter
from core.data.shapes.outcome import Conversation, Message, Recognised, Refused
from core.data.shapes.recognise import recognise
from core.data.shapes.rendered import apart

__all__ = [
    "ROLES_OF_COLUMNS",
    "Conversation",
    "Message",
    "Recognised",
    "Refused",
    "apart",
    "check_mapping",
    "guess_columns",
    "may_matter",
    "recognise",
]
