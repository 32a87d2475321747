"""Helper processes for work on very many rows: they end with this one and never hear Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from types import TracebackType
from typing import TypeVar

from core.base.errors import UserError
from core.base.process import die_with_parent, parent_mark

_IN_FLIGHT = 2
Item = TypeVar("Item")
Result = TypeVar("Result")


class Helpers:
    """`with Helpers(2) as helpers: for result in helpers.map(work, items): …`. One alone is this process."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Helpers:
        if self._count > 1:
            # spawned, not forked: the caller may have threads, and Windows knows nothing else
            self._pool = ProcessPoolExecutor(self._count, get_context("spawn"), _begin, (parent_mark(),))
            # all are started now: one that starts while another is being killed can hang for ever
            with _deaf_to_interrupts():
                for _ in range(self._count):
                    self._pool.submit(os.getpid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The result of each item, in order, only a few of them ahead.

        A UserError of the items comes after the results of everything before it.
        """
        if self._pool is None:
            yield from map(work, items)
            return
        waiting: deque[Future[Result]] = deque()
        failure: UserError | None = None
        try:
            for item in items:
                waiting.append(self._pool.submit(work, item))
                if len(waiting) > self._count * _IN_FLIGHT:
                    yield waiting.popleft().result()
        except UserError as error:
            failure = error
        while waiting:
            yield waiting.popleft().result()
        if failure is not None:
            raise failure


def _begin(mark: dict[str, str]) -> None:
    # each process has one core
    os.environ.update({**mark, "TOKENIZERS_PARALLELISM": "false"})
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that are started here take over that they don't hear Ctrl-C: this one ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
