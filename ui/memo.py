"""What the app's process keeps while it runs: answers that need not be computed again, and short work
beside the page. A restart loses both and nothing is missing: everything that counts lies on disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Literal, TypeVar

from core.base.errors import UserError

Answer = TypeVar("Answer")
# an answer holds for so many times what it took
_STAYS = 5


def stamp(*paths: Path) -> tuple[tuple[int, int] | None, ...]:
    """Time and size of files; None for one that is not there. Other stamps mean other contents."""
    stamps: list[tuple[int, int] | None] = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append((status.st_mtime_ns, status.st_size))
    return tuple(stamps)


class Memo:
    """Answers by what they were computed from; a failure is not kept."""

    def __init__(self) -> None:
        self._shelves: dict[str, dict[Hashable, tuple[float, Any]]] = {}
        self._lock = threading.Lock()

    def get(
        self,
        name: str,
        parts: Hashable,
        compute: Callable[[], Answer],
        keep: int = 8,
        for_s: float = inf,
    ) -> Answer:
        """The answer to the question `name` about `parts`; the newest `keep` stay, each for `for_s`.

        One that took long stays longer, so that a page never spends most of its time on the same question.
        """
        now = time.monotonic()
        with self._lock:
            shelf = self._shelves.setdefault(name, {})
            entry = shelf.pop(parts, None)
            if entry is not None and now < entry[0]:
                shelf[parts] = entry
                return entry[1]
        answer = compute()
        took = time.monotonic() - now
        with self._lock:
            shelf[parts] = (now + max(for_s, _STAYS * took), answer)
            while len(shelf) > keep:
                del shelf[next(iter(shelf))]
        return answer

    def forget(self, *names: str) -> None:
        """Compute these anew at the next question."""
        with self._lock:
            for name in names:
                self._shelves.pop(name, None)


@dataclass(frozen=True)
class Errand:
    """How it stands; `message` is its result in words or the sentence of its failure."""

    status: Literal["running", "done", "failed"]
    message: str = ""
    result: Any = None


class Errands:
    """Work outside a worker (copying a file, asking the hub) by name, one of a name at a time."""

    def __init__(self, unexpected: Callable[[BaseException], str]) -> None:
        self.unexpected = unexpected
        self._errands: dict[str, Errand] = {}
        self._lock = threading.Lock()

    def find(self, name: str) -> Errand | None:
        return self._errands.get(name)

    def run(self, name: str, work: Callable[[], Any]) -> None:
        """Do `work` in a thread; its text is the message, anything else the result."""
        with self._lock:
            before = self._errands.get(name)
            if before is not None and before.status == "running":
                return
            self._errands[name] = Errand("running")

        def errand() -> None:
            try:
                result = work()
                ended = Errand("done", result if isinstance(result, str) else "", result)
            except UserError as problem:
                ended = Errand("failed", str(problem))
            except Exception as error:  # a thread has no one else to tell
                ended = Errand("failed", self.unexpected(error))
            self._errands[name] = ended

        threading.Thread(target=errand, name=name, daemon=True).start()
