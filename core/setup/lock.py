"""One set-up at a time: a lock that the system drops by itself when its holder dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.base.errors import UserError


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; a UserError that names the holder if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        if not _take(file.fileno()):
            file.seek(0)
            holder = file.read(32).decode("ascii", "replace").strip()
            raise UserError(
                f"Another set-up of this folder is running (process {holder or 'unknown'}). "
                "Wait until it is done, then start again."
            )
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        file.flush()
        yield


def _take(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            # one byte far behind the text, so that others can still read who holds it
            os.lseek(descriptor, 1 << 20, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
