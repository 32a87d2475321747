"""Parquet: batches of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from core.base.errors import UserError, first_line
from core.data.read.batches import MOST_ROWS, BatchBlock, refuse_columns
from core.data.read.flow import BLOCK_BYTES, Flow
from core.data.read.formats import Block, Format
from core.data.read.head import Head


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
            with flow.seekable() as file:
                # one row group may be the whole file: it is read page by page, not at once
                table = parquet.ParquetFile(file, pre_buffer=False, buffer_size=BLOCK_BYTES)
                refuse_columns(table.schema_arrow, name)
                if not table.metadata.num_rows:
                    raise UserError(f"{name} has columns but no rows. Choose a file with at least one row.")
                first = 1
                for batch in table.iter_batches(batch_size=_batch_size(table.metadata), use_threads=False):
                    read = flow.size * (first - 1 + batch.num_rows) // table.metadata.num_rows
                    yield BatchBlock(read, batch, first)
                    first += batch.num_rows
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            raise UserError(
                f"{name} is a Parquet file that is cut off or damaged ({first_line(error, 120)}). "
                "Get the file again."
            ) from error


def _batch_size(metadata: Any) -> int:
    size = sum(metadata.row_group(place).total_byte_size for place in range(metadata.num_row_groups))
    return max(1, min(MOST_ROWS, BLOCK_BYTES * metadata.num_rows // max(size, 1)))
