"""Rows in Arrow's batches: values as JSON would write them, so that every format gives the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from core.base.errors import UserError
from core.data.read.formats import LONGEST_FIELD, Item, Row, Unreadable
from core.data.read.strict_json import WrittenNumber, long_field

MOST_ROWS = 2000
_BAD_VALUE = (ValueError, OverflowError, NotImplementedError)


@dataclass(slots=True)
class BatchBlock:
    """One Arrow record batch, from record `first` on."""

    read: int
    batch: Any
    first: int

    def rows(self) -> Iterator[Item]:
        try:
            values = self.batch.to_pylist()
        except _BAD_VALUE:
            values = [None] * self.batch.num_rows  # each alone, to find the bad one
        for place, data in enumerate(values):
            where = f"record {self.first + place}"
            try:
                data = data or self.batch.slice(place, 1).to_pylist()[0]
                yield Row({name: as_written(value) for name, value in data.items()}, where)
            except _BAD_VALUE as error:
                yield Unreadable(where, str(error) if "MB" in str(error) else "holds a value that is no text")


def as_written(value: Any) -> Any:
    """Text, lists and dicts stay; numbers become what is written for them; dates become ISO text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if len(value) > LONGEST_FIELD:
            raise ValueError(long_field(len(value)))
        return value
    if isinstance(value, int | float | Decimal):
        return WrittenNumber(value)
    if isinstance(value, list):
        return [as_written(item) for item in value]
    if isinstance(value, dict):
        return {str(key): as_written(item) for key, item in value.items()}
    if isinstance(value, tuple):  # an entry of a map
        return [as_written(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def refuse_columns(schema: Any, name: str) -> None:
    for field in schema:
        if _is_binary(field.type):
            raise UserError(
                f"{name}: the column “{field.name}” holds binary values (images, sound or packed objects), "
                "and only text can be trained. Leave that column out when you export the file."
            )
    twins = sorted({column for column in schema.names if schema.names.count(column) > 1})
    if twins:
        raise UserError(f"{name} names the column “{twins[0]}” twice. Rename one of them.")


def _is_binary(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_binary(kind.value_type)
    binary = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    if any(is_kind(kind) for is_kind in binary):
        return True
    return any(_is_binary(kind.field(place).type) for place in range(kind.num_fields))
