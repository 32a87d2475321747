"""The run's data as the model sees it: token ids and labels of every row, exactly those of the preview."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from core.base.errors import Stopped, UserError
from core.base.jobs import Worker
from core.data import ChatTokenizer, Conversation, read_snapshot
from core.data.encoded import IGNORED
from core.recipe import Recipe
from core.runs.run import Run

__all__ = ["IGNORED", "Row", "Rows", "tokenize_snapshot"]

# input_ids and labels, int32
Row = dict[str, NDArray[np.int32]]
_BATCH = 256
# a second of work, or less
_TELL_ROWS = 1024


class Rows(Sequence[Row]):
    """Tokenized rows, 8 bytes a token: ids and labels of all rows end to end, and where each row begins."""

    def __init__(self, rows: Iterable[tuple[list[int], list[int]]] = ()) -> None:
        ids, labels, starts = array("i"), array("i"), array("q", [0])
        for row_ids, row_labels in rows:
            ids.extend(row_ids)
            labels.extend(row_labels)
            starts.append(len(ids))
        self.ids = np.frombuffer(ids, np.int32)
        self.labels = np.frombuffer(labels, np.int32)
        self.starts = np.frombuffer(starts, np.int64)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> Row:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        part = slice(self.starts[index], self.starts[index + 1])
        return {"input_ids": self.ids[part], "labels": self.labels[part]}

    @property
    def lengths(self) -> list[int]:
        """How many tokens each row has."""
        return np.diff(self.starts).tolist()


def tokenize_snapshot(
    worker: Worker,
    run: Run,
    recipe: Recipe,
    tokenizer: ChatTokenizer,
    stop: Callable[[], object] = lambda: None,
) -> tuple[Rows, Rows]:
    """The run's training rows and held-out rows, ids and labels as the preview shows them.

    Raises Stopped when `stop` says so: very many rows take minutes.
    """
    train, heldout = read_snapshot(run.data)
    rows = _tokenize(worker, _watched(worker, train, stop), "training", tokenizer, recipe.max_length)
    if not rows:
        raise UserError(
            f"None of the {len(train)} training rows has an answer to learn within "
            f"{recipe.max_length} tokens. Choose a longer maximum length, or look at the Data step."
        )
    return rows, _tokenize(worker, heldout, "held-out", tokenizer, recipe.max_length)


def _watched(
    worker: Worker, rows: Sequence[Conversation], stop: Callable[[], object]
) -> Iterator[Conversation]:
    """The rows one by one, saying now and then how far it is."""
    for number, row in enumerate(rows):
        if number % _TELL_ROWS == 0:
            worker.update(progress=number / len(rows))
            if stop():
                raise Stopped
        yield row
    worker.update(progress=None)


def _tokenize(
    worker: Worker,
    conversations: Iterable[Conversation],
    kind: str,
    tokenizer: ChatTokenizer,
    max_length: int,
) -> Rows:
    counts = _Counts()
    rows = Rows(_encode(conversations, tokenizer, max_length, counts))
    for sentence in counts.sentences(kind, max_length):
        worker.say("warning", message=sentence)
    return rows


def _encode(
    conversations: Iterable[Conversation], tokenizer: ChatTokenizer, max_length: int, counts: _Counts
) -> Iterator[tuple[list[int], list[int]]]:
    """Ids and labels of the rows that have something to learn."""
    rest = iter(conversations)
    while chats := [conversation.messages for conversation in islice(rest, _BATCH)]:
        batch = [window for messages in chats for window in tokenizer.windows(messages, max_length)]
        for encoded in tokenizer.encode_many(batch, max_length):
            if encoded.reason is not None:
                counts.dropped[encoded.reason] += 1
                continue
            counts.cut += encoded.cut > 0
            counts.masked += encoded.masked_turns
            counts.lost += bool(encoded.lost)
            yield encoded.ids, encoded.labels


class _Counts:
    """What a person should know about the rows."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.cut = self.masked = self.lost = 0

    def sentences(self, kind: str, max_length: int) -> Iterator[str]:
        for reason, count in self.dropped.items():
            yield f"{count} {kind} row(s) left out: {reason}."
        if self.cut:
            yield f"{self.cut} {kind} row(s) are longer than {max_length} tokens and were cut off there."
        if self.masked:
            yield (
                f"{self.masked} earlier answer(s) in {kind} rows are read but not learned: "
                "the model's chat template rewrites them later in the chat."
            )
        if self.lost:
            yield f"{self.lost} {kind} row(s) hold characters that the model has no token for; they vanish."
