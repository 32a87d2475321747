"""Waiting in tests: for something that another process or thread does."""

import time
from collections.abc import Callable


def wait_until(reached: Callable[[], object], timeout_s: float = 60) -> None:
    """Return when `reached` answers; fail when it does not in time."""
    end = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < end, f"it did not happen within {timeout_s:g} s"
        time.sleep(0.02)
