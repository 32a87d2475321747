"""Short work outside a worker (copying a file, calling another program) that must not hold up the page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from core.base.errors import UserError


@dataclass(frozen=True)
class Errand:
    """How it stands; `message` is its result or the sentence of its failure."""

    status: Literal["running", "done", "failed"]
    message: str


class Errands:
    """The errands of this process by name; one of a name at a time."""

    def __init__(self) -> None:
        self._known: dict[str, Errand] = {}
        self._lock = threading.Lock()

    def find(self, name: str) -> Errand | None:
        return self._known.get(name)

    def run(self, name: str, work: Callable[[], str], unexpected: Callable[[BaseException], str]) -> None:
        """Do `work` in a thread; `unexpected` turns an exception that is no UserError into a sentence."""
        with self._lock:
            known = self._known.get(name)
            if known is not None and known.status == "running":
                return
            self._known[name] = Errand("running", "")

        def errand() -> None:
            try:
                result = Errand("done", work())
            except UserError as problem:
                result = Errand("failed", str(problem))
            except Exception as error:  # a thread has no one else to tell
                result = Errand("failed", unexpected(error))
            self._known[name] = result

        threading.Thread(target=errand, name=name, daemon=True).start()
