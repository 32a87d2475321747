"""Sets rows aside for the held-out loss: seeded, and never the same row on both sides."""

from __future__ import annotations

import json
import random

from core.dataset.shapes import Conversation

DEFAULT_SHARE = 0.05
FEWEST = 16
MOST = 512


def split_heldout(
    conversations: list[Conversation], seed: int, share: float = DEFAULT_SHARE
) -> tuple[list[Conversation], list[Conversation]]:
    """(train, held-out), both in the file's order.

    Held out are `share` of the rows, at least 16 and at most 512, but never more than half; none when
    `share` is 0. Exact duplicates stay together, so a few rows less may be held out.
    """
    twins: dict[str, list[int]] = {}
    for place, conversation in enumerate(conversations):
        twins.setdefault(content_key(conversation), []).append(place)
    groups = list(twins.values())
    random.Random(seed).shuffle(groups)
    left = _wanted(len(conversations), share)
    chosen: set[int] = set()
    for group in groups:
        if len(group) <= left:
            chosen.update(group)
            left -= len(group)
    train = [row for place, row in enumerate(conversations) if place not in chosen]
    heldout = [row for place, row in enumerate(conversations) if place in chosen]
    return train, heldout


def without_shared(
    train: list[Conversation], heldout: list[Conversation]
) -> tuple[list[Conversation], list[Conversation]]:
    """(train rows that are not held out, train rows that are): the latter must not be learned."""
    kept: list[Conversation] = []
    shared: list[Conversation] = []
    keys = {content_key(conversation) for conversation in heldout}
    for conversation in train:
        (shared if content_key(conversation) in keys else kept).append(conversation)
    return kept, shared


def content_key(conversation: Conversation) -> str:
    """Equal for two conversations exactly when all their roles and texts are equal."""
    return json.dumps([(message["role"], message["content"]) for message in conversation.messages])


def _wanted(rows: int, share: float) -> int:
    if not share:
        return 0
    return min(max(round(rows * share), FEWEST), MOST, rows // 2)
