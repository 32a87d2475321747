"""Arrow: the IPC streams that `datasets` saves to disk, and IPC files (Feather)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from core.base.errors import UserError, first_line
from core.data.read.batches import MOST_ROWS, BatchBlock, refuse_columns
from core.data.read.flow import Flow
from core.data.read.formats import Block, Format
from core.data.read.head import Head

_FILE, _STREAM = b"ARROW1\0\0", b"\xff\xff\xff\xff"


class Arrow(Format):
    """Record batches of Apache Arrow, with a table of contents (a file) or without (a stream)."""

    name, title, order = "arrow", "Arrow", 50
    help = "Arrow, also a folder of `save_to_disk`"
    endings = (".arrow", ".feather")

    def match(self, head: Head) -> Arrow | None:
        return self if head.raw.startswith((_FILE, _STREAM)) else None

    def blocks(self, flow: Flow, encoding: str) -> Iterator[Block]:
        """The file's batches. Raises UserError for a cut file, binary columns, and one without rows."""
        import pyarrow as pa

        name, first = flow.path.name, 1
        try:
            with flow.seekable() as file:
                for batch in _batches(file, name):
                    for start in range(0, batch.num_rows, MOST_ROWS):
                        part = batch.slice(start, MOST_ROWS)
                        yield BatchBlock(flow.size if flow.packed else file.tell(), part, first)
                        first += part.num_rows
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            raise UserError(
                f"{name} is an Arrow file that is cut off or damaged ({first_line(error, 120)}). "
                "Get the file again."
            ) from error
        if first == 1:
            raise UserError(f"{name} has columns but no rows. Choose a file with at least one row.")


def _batches(file: IO[bytes], name: str) -> Iterator[Any]:
    from pyarrow import ipc

    if file.read(len(_FILE)) == _FILE:
        table = ipc.open_file(file)
        refuse_columns(table.schema, name)
        for number in range(table.num_record_batches):
            yield table.get_batch(number)
        return
    file.seek(0)
    stream = ipc.open_stream(file)
    refuse_columns(stream.schema, name)
    yield from stream
