"""One file of the corpus with its golden verdict, and the little writers that the parts share."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["accept", "warn", "reject", "usable", "any"]
Problems = dict[str, int | list[int]]
Content = bytes | Callable[[], bytes]

ROWS = [
    {
        "instruction": "Where do penguins live?",
        "output": "Most penguins live on the coasts of Antarctica and on islands near it.",
    },
    {"instruction": "What do bees make?", "output": "Bees make honey and wax from what they gather."},
    {"instruction": "Why is the sky blue?", "output": "Air scatters blue light far more than it does red."},
]
CHAT = [
    {"role": "user", "content": "Where do penguins live?"},
    {"role": "assistant", "content": "Most of them live on the coasts of Antarctica."},
    {"role": "user", "content": "And what do they eat there?"},
    {"role": "assistant", "content": "They dive for krill, squid and small fish."},
]
OTHER_CHAT = [
    {"role": "system", "content": "You are a patient teacher."},
    {"role": "user", "content": "What is a prime number?"},
    {"role": "assistant", "content": "A number above one that only one and itself divide."},
]


@dataclass(frozen=True)
class Case:
    """A file and what the check must say about it.

    verdict: “usable” is accept or warn. “any” where people may differ; such a file only has to be judged,
    in bounded time.
    problems: every warning and error, by kind: how many rows, or the numbers (line, record) of those rows;
    None where only the verdict and `says` are told.
    says: words that one of the messages holds. read, usable: rows. texts: contents of the first row's
    messages. heldout: the user's own held-out file. max_length: asked of a model's tokenizer.
    """

    file: str
    verdict: Verdict
    content: Content
    problems: Problems | None = field(default_factory=dict)
    says: str = ""
    read: int | None = None
    usable: int | None = None
    texts: list[str] | None = None
    columns: dict[str, str] = field(default_factory=dict)
    heldout: bytes | None = None
    max_length: int | None = None

    def bytes(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content()


def accept(file: str, content: Content, **golden: Any) -> Case:
    """A file without a single warning."""
    return Case(file, "accept", content, {}, **golden)


def warn(file: str, content: Content, problems: Problems, **golden: Any) -> Case:
    """A file that may be used, with exactly these warnings."""
    return Case(file, "warn", content, problems, **golden)


def reject(
    file: str, content: Content, says: str = "", problems: Problems | None = None, **golden: Any
) -> Case:
    """A file that can't be used as it is. Without `problems`, the file itself or a row can't be read."""
    return Case(file, "reject", content, problems, says, **golden)


def usable(file: str, content: Content, **golden: Any) -> Case:
    """A file that may not be rejected."""
    return Case(file, "usable", content, None, **golden)


def judged(file: str, content: Content, **golden: Any) -> Case:
    """A file about which people may differ; it must be judged all the same."""
    return Case(file, "any", content, None, **golden)


def jsonl(rows: Iterable[Any], end: str = "\n") -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in rows).encode()


def lines(*texts: str) -> bytes:
    """Lines that no writer would write."""
    return "".join(text + "\n" for text in texts).encode("utf-8", "surrogatepass")


def good(number: int = 0) -> str:
    """A good line of JSONL."""
    return json.dumps(ROWS[number])


def between(bad: str) -> bytes:
    """A bad line 2 between good ones."""
    return lines(good(0), bad, good(1))


def table(
    rows: Iterable[dict[str, Any]] = ROWS,
    delimiter: str = ",",
    end: str = "\n",
    quoting: int = csv.QUOTE_MINIMAL,
) -> bytes:
    rows = list(rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def chats(*conversations: Any) -> bytes:
    return jsonl({"messages": messages} for messages in conversations)


def pair(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def answers(*texts: str) -> bytes:
    """Good questions with these answers."""
    asked = (
        ROWS[number % 3]["instruction"] + (f" ({number})" if number > 2 else "")
        for number in range(len(texts))
    )
    return jsonl({"instruction": question, "output": text} for question, text in zip(asked, texts))


def with_answer(text: str) -> bytes:
    """Two good rows and, as the third, one with this answer."""
    return answers(ROWS[0]["output"], ROWS[1]["output"], text)
