"""What a person decides about a dataset by: its problems, its numbers, and whether it can be trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from core.data.kinds import Severity
from core.data.store import FileFacts, sha256_of

Verdict = Literal["accept", "warn", "reject"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of problem: how many rows have it, where the first ones stand, and what is said about it.

    `fix` is what one click would do, `taken` whether it is done already.
    """

    kind: str
    severity: Severity
    count: int
    rows: list[str]
    message: str
    fix: str | None
    taken: bool = False

    @property
    def stands(self) -> bool:
        """Whether it still counts for the verdict."""
        return not self.taken


@dataclass(frozen=True, slots=True)
class Report:
    """Everything about a dataset that a person decides by. `rows_usable` rows would be trained.

    tokens: None while nothing was measured; over `tokens_measured` rows, its totals are for all usable ones.
    """

    verdict: Verdict
    shape: str
    files: list[FileFacts]
    rows_read: int
    rows_usable: int
    problems: list[Problem]
    fixes: list[str]
    max_length: int
    tokens: dict[str, int] | None = None
    tokens_measured: int = 0
    suggested_max_length: int | None = None
    suggested_reason: str = ""
    unused: dict[str, int] = field(default_factory=dict)

    @property
    def rows_dropped(self) -> int:
        return self.rows_read - self.rows_usable

    @property
    def format(self) -> str:
        return _joined(file.format for file in self.files)

    @property
    def encoding(self) -> str:
        return _joined(file.encoding for file in self.files)

    @property
    def sha256(self) -> str:
        return sha256_of(self.files)

    @property
    def first_error(self) -> str:
        """The sentence of the first problem that rejects the data; empty if none does."""
        return next((item.message for item in self.problems if item.severity == "error" and item.stands), "")

    def to_json(self) -> dict[str, Any]:
        """What `check-data --json` prints."""
        return {
            "verdict": self.verdict,
            "format": self.format,
            "encoding": self.encoding,
            "shape": self.shape,
            "rows_read": self.rows_read,
            "rows_usable": self.rows_usable,
            "rows_dropped": self.rows_dropped,
            "problems": [asdict(item) for item in self.problems],
            "tokens": self.tokens,
            "tokens_measured": self.tokens_measured,
            "max_length": self.max_length,
            "suggested_max_length": self.suggested_max_length,
            "suggested_reason": self.suggested_reason,
            "sha256": self.sha256,
            "files": [_without_path(file) for file in self.files],
            "unused_columns": self.unused,
            "fixes": self.fixes,
        }


def _without_path(file: FileFacts) -> dict[str, Any]:
    """What may be shown to others: the name, not where it lies."""
    return {name: value for name, value in asdict(file).items() if name != "path"}


def _joined(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, words)))
