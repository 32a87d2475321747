"""Parquet: batches of rows; values as JSON would write them, so that every format gives the same rows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from core.base.errors import UserError, first_line
from core.data.read.flow import BLOCK_BYTES, Flow
from core.data.read.formats import LONGEST_FIELD, Block, Format, Row, Unreadable
from core.data.read.head import Head
from core.data.read.strict_json import WrittenNumber, long_field

_MOST_ROWS = 2000
_BAD_VALUE = (ValueError, OverflowError, NotImplementedError)


class Parquet(Format):
    """Apache Parquet with columns of text, numbers, lists and objects."""

    name, title, order = "parquet", "Parquet", 40
    help = "Parquet"
    endings = (".parquet",)

    def match(self, head: Head) -> Parquet | None:
        return self if head.raw.startswith(b"PAR1") else None

    def blocks(self, flow: Flow, encoding: str) -> Iterator[Block]:
        """The file's batches. Raises UserError for a cut file, binary columns, and one without rows."""
        import pyarrow as pa
        from pyarrow import parquet

        name = flow.path.name
        try:
            with tempfile.TemporaryFile() if flow.packed else open(flow.path, "rb") as file:
                while flow.packed and (piece := flow.read(BLOCK_BYTES)):
                    file.write(piece)
                # one row group may be the whole file: it is read page by page, not at once
                table = parquet.ParquetFile(file, pre_buffer=False, buffer_size=BLOCK_BYTES)
                _refuse_columns(table.schema_arrow, name)
                if not table.metadata.num_rows:
                    raise UserError(f"{name} has columns but no rows. Choose a file with at least one row.")
                first = 1
                for batch in table.iter_batches(batch_size=_batch_size(table.metadata), use_threads=False):
                    read = flow.size * (first - 1 + batch.num_rows) // table.metadata.num_rows
                    yield ParquetBlock(read, batch, first)
                    first += batch.num_rows
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            raise UserError(
                f"{name} is a Parquet file that is cut off or damaged ({first_line(error, 120)}). "
                "Get the file again."
            ) from error


@dataclass(slots=True)
class ParquetBlock:
    """One Arrow record batch, from record `first` on."""

    read: int
    batch: Any
    first: int

    def rows(self) -> Iterator[Row | Unreadable]:
        try:
            values = self.batch.to_pylist()
        except _BAD_VALUE:
            values = [None] * self.batch.num_rows  # each alone, to find the bad one
        for place, data in enumerate(values):
            where = f"record {self.first + place}"
            try:
                data = data or self.batch.slice(place, 1).to_pylist()[0]
                yield Row({name: _as_written(value) for name, value in data.items()}, where)
            except _BAD_VALUE as error:
                yield Unreadable(where, str(error) if "MB" in str(error) else "holds a value that is no text")


def _as_written(value: Any) -> Any:
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
        return [_as_written(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _as_written(item) for key, item in value.items()}
    if isinstance(value, tuple):  # an entry of a map
        return [_as_written(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _batch_size(metadata: Any) -> int:
    size = sum(metadata.row_group(place).total_byte_size for place in range(metadata.num_row_groups))
    return max(1, min(_MOST_ROWS, BLOCK_BYTES * metadata.num_rows // max(size, 1)))


def _refuse_columns(schema: Any, name: str) -> None:
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
