"""Digests blocks: in this process for small data, in a few of their own for large; results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType

from core.base.cores import usable_cores
from core.base.errors import UserError
from core.data.digest import Digest, digest_block
from core.data.helpers import start_helpers
from core.data.read import Block

MOST_WORKERS = 4
# below this many bytes a process of its own takes longer to start than the work does
SMALL = 16 * 1024 * 1024
_IN_FLIGHT = 2


class Pool:
    """`with Pool(bytes, columns) as pool: for read, digest in pool.digests(blocks, prefix): …`."""

    def __init__(self, size: int, columns: dict[str, str]) -> None:
        self._columns = columns
        self._workers = min(MOST_WORKERS, usable_cores()) if size > SMALL else 1
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Pool:
        if self._workers > 1:
            self._executor = start_helpers(self._workers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def digests(self, blocks: Iterator[Block], prefix: str) -> Iterator[tuple[int, Digest]]:
        """(bytes of the file read so far, digest) of each block, in order.

        A UserError of the reader comes after the digests of everything before it.
        """
        if self._executor is None:
            for block in _readable(blocks):
                yield block.read, digest_block(block, self._columns, prefix)
            return
        waiting: deque[tuple[int, Future[Digest]]] = deque()
        failure: UserError | None = None
        try:
            for block in _readable(blocks):
                future = self._executor.submit(digest_block, block, self._columns, prefix)
                waiting.append((block.read, future))
                if len(waiting) > self._workers * _IN_FLIGHT:
                    read, first = waiting.popleft()
                    yield read, first.result()
        except UserError as error:
            failure = error
        while waiting:
            read, first = waiting.popleft()
            yield read, first.result()
        if failure is not None:
            raise failure


def _readable(blocks: Iterator[Block]) -> Iterator[Block]:
    """The blocks; what the system says against reading on becomes a sentence."""
    try:
        yield from blocks
    except OSError as error:
        raise UserError(f"can't be read to its end: {error.strerror or error}. Check the disk.") from error
