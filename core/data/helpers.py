"""Helper processes for work on very many rows: they end with this one and never hear Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from core.base.process import die_with_parent, parent_mark


def start_helpers(
    count: int, begin: Callable[..., None] | None = None, *arguments: Any
) -> ProcessPoolExecutor:
    """`count` processes; each calls `begin(*arguments)` before its work."""
    # spawned, not forked: the caller may have threads, and Windows knows nothing else
    pool = ProcessPoolExecutor(count, get_context("spawn"), _begin, (parent_mark(), begin, arguments))
    # all are started now: one that starts while another is being killed can hang for ever
    with _deaf_to_interrupts():
        for _ in range(count):
            pool.submit(os.getpid)
    return pool


def _begin(mark: dict[str, str], begin: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    os.environ.update(mark)
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if begin is not None:
        begin(*arguments)


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
