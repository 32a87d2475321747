"""A whole file as conversations in memory, with everything that was noticed about its rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from core.dataset.read import Row, read_rows
from core.dataset.shapes.outcome import Conversation, Message, Recognised, Refused
from core.dataset.shapes.plan import PLAIN_TEXT
from core.dataset.shapes.recognise import recognise
from core.errors import UserError
from core.files import sha256_file

_UNSUPPORTED = {"tool calls", "images", "preference pairs"}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about one row. `dropped` rows are not used; the others are used as they are."""

    kind: str
    where: str
    reason: str
    dropped: bool = True


@dataclass(slots=True)
class Loaded:
    """A whole file: its shape in words, the usable rows, and everything that was noticed.

    `unused` names columns that no message was made of.
    """

    shape: str
    conversations: list[Conversation]
    problems: list[Problem]
    rows_read: int
    sha256: str
    unused: list[str] = field(default_factory=list)


def load_conversations(path: Path) -> Loaded:
    """Read `path`, recognise the shape of every row and normalise it to messages.

    Raises UserError for a broken file, for data that isn't supported, and when no row is usable.
    """
    shapes: Counter[str] = Counter()
    unused: set[str] = set()
    conversations: list[Conversation] = []
    problems: list[Problem] = []
    rows_read = 0
    for row in read_rows(path):
        if not isinstance(row, Row):
            raise UserError(f"{path.name}, {row.where}: {row.reason}. Correct or remove that row.")
        rows_read += 1
        found = _usable(row, path.name)
        if isinstance(found, Refused):
            problems.append(Problem(found.kind, row.where, found.reason))
            continue
        shapes[found.shape] += 1
        unused.update(found.unused)
        conversations.append(Conversation(found.messages, row.where))
        problems += [Problem(kind, row.where, detail, dropped=False) for kind, detail in found.remarks]
        problems += _order_notes(found.messages, row.where)
    if not conversations:
        raise UserError(_nothing_usable(path.name, rows_read, problems))
    return Loaded(
        _shape_in_words(shapes), conversations, problems, rows_read, sha256_file(path), sorted(unused)
    )


def _usable(row: Row, name: str) -> Recognised | Refused:
    found = recognise(row)
    if isinstance(found, Refused):
        if found.kind in _UNSUPPORTED:
            raise UserError(f"{name}, {row.where} {found.reason}; leave such rows out.")
        return found
    if found.shape == PLAIN_TEXT:
        return Refused("unknown columns", "has plain text, no question and answer")
    return found


def _shape_in_words(shapes: Counter[str]) -> str:
    if len(shapes) == 1:
        return next(iter(shapes))
    return "mixed: " + ", ".join(f"{shape} ({count} rows)" for shape, count in shapes.most_common())


def _nothing_usable(name: str, rows_read: int, problems: list[Problem]) -> str:
    first = "; ".join(f"{problem.where} {problem.reason}" for problem in problems[:3])
    more = f"; and {len(problems) - 3} more rows" if len(problems) > 3 else ""
    rows = "1 row" if rows_read == 1 else f"{rows_read} rows"
    return (
        f"{name} has no usable row among {rows}: {first}{more}. Each row needs a question and its answer: "
        "columns like instruction/output, question/answer, prompt/completion, or a list of messages."
    )


def _order_notes(messages: list[Message], where: str) -> list[Problem]:
    """What is unusual about the order of roles in a row that is used all the same."""
    roles = [message["role"] for message in messages]
    turns = [role for role in roles if role != "system"]
    notes = []
    if "system" in roles[1:]:
        notes.append(("late system", "has a system message after its beginning"))
    if turns[0] == "assistant":
        notes.append(("assistant first", "begins with an answer"))
    if turns[-1] == "user":
        notes.append(("ends on user", "ends with a question that has no answer"))
    if any(one == two for one, two in pairwise(turns)):
        notes.append(("repeated role", "has two turns of the same side in a row"))
    return [Problem(kind, where, reason, dropped=False) for kind, reason in notes]
