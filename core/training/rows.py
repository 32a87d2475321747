"""The run's data as the model sees it: token ids and labels of every row, exactly those of the preview."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from core.dataset import ChatTokenizer, Conversation, read_snapshot
from core.errors import UserError
from core.jobs import Worker
from core.recipe import Recipe
from core.runs import Run

IGNORED = -100
# each row: input_ids and labels
Rows = list[dict[str, list[int]]]


def count_trained(labels: list[int]) -> int:
    """Tokens of a row that count: labelled ones, except at position 0, which nothing predicts."""
    return sum(label != IGNORED for label in labels[1:])


def tokenize_snapshot(
    worker: Worker, run: Run, recipe: Recipe, tokenizer: ChatTokenizer
) -> tuple[Rows, Rows]:
    """The run's training rows and held-out rows, ids and labels as the preview shows them."""
    train, heldout = read_snapshot(run.data)
    rows = _tokenize(worker, train, "training", tokenizer, recipe.max_length)
    if not rows:
        raise UserError(
            f"None of the {len(train)} training rows has an answer to learn within "
            f"{recipe.max_length} tokens. Choose a longer maximum length, or look at the Data step."
        )
    return rows, _tokenize(worker, heldout, "held-out", tokenizer, recipe.max_length)


def _tokenize(
    worker: Worker,
    conversations: Iterable[Conversation],
    kind: str,
    tokenizer: ChatTokenizer,
    max_length: int,
) -> Rows:
    rows: Rows = []
    dropped: Counter[str] = Counter()
    cut = masked = 0
    for conversation in conversations:
        encoded = tokenizer.encode(conversation.messages, max_length)
        if encoded.reason is not None or count_trained(encoded.labels) == 0:
            dropped[encoded.reason or "no answer to train"] += 1
            continue
        cut += encoded.cut > 0
        masked += encoded.masked_turns
        rows.append({"input_ids": encoded.ids, "labels": encoded.labels})
    for reason, count in dropped.items():
        worker.say("warning", message=f"{count} {kind} row(s) left out: {reason}.")
    if cut:
        worker.say(
            "warning",
            message=f"{cut} {kind} row(s) are longer than {max_length} tokens and were cut off there.",
        )
    if masked:
        worker.say(
            "warning",
            message=f"{masked} earlier answer(s) in {kind} rows are read but not learned: "
            "the model's chat template rewrites them later in the chat.",
        )
    return rows
