"""JSON records that the app keeps for itself: read by their types, strictly, so nothing half is believed.

A kind is a dataclass, a pydantic model or a plain type (`dict[str, str]`). Fields that it does not know are
left out, missing ones take their defaults.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from core.base.errors import UserError
from core.base.files import read_json, write_json

T = TypeVar("T")


def read_record(path: Path, kind: type[T]) -> T | None:
    """The record in `path`; None where there is no such file. A damaged one is a UserError."""
    value = read_json(path)
    if value is None:
        return None
    record = decode(value, kind)
    if record is None:
        raise UserError(f"{path} is damaged: it is not what this app wrote. Move it away, then try again.")
    return record


def read_if_whole(path: Path, kind: type[T]) -> T | None:
    """The record in `path`; None where there is none, or where it can't be read or is damaged."""
    try:
        return read_record(path, kind)
    except (UserError, OSError):
        return None


def write_record(path: Path, record: Any) -> None:
    """Write a record, atomically."""
    write_json(path, encode(record))


def decode(value: Any, kind: type[T]) -> T | None:
    """A JSON value as a record; None where a field is missing or of another type."""
    try:
        # as JSON, where a path is a text and a tuple a list
        return _adapter(kind).validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return None


def decode_all(values: Any, kind: type[T]) -> list[T]:
    """Those of a list that are whole records; a damaged one costs only itself."""
    records = (decode(value, kind) for value in values) if isinstance(values, list) else ()
    return [record for record in records if record is not None]


def encode(record: Any) -> Any:
    """A record as a JSON value."""
    return _adapter(type(record)).dump_python(record, mode="json")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
