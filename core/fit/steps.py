"""Steps and tokens of a run, as the Trainer counts them."""

from __future__ import annotations

import math


def steps_of(rows: int, effective_batch: int, epochs: float, max_steps: int | None = None) -> int:
    """Optimizer steps of a run that trains on `rows` rows."""
    if max_steps is not None:
        return max_steps
    return math.ceil(epochs * math.ceil(rows / effective_batch))


def rows_seen(steps: int, effective_batch: int, rows: int) -> int:
    """Rows that so many steps compute; the last step of a small data set has fewer."""
    return steps * min(effective_batch, max(rows, 1))
